"""The binding of the official library, against a stub with the same symbols: layouts, ownership, refusals, process."""

import base64
import ctypes
import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from graval.backends.base import BackendUnavailableError
from graval.backends.official import OfficialBackend
from graval.backends.simulated import SimulatedBackend
from graval.official.child import answer
from graval.official.interface import Ciphertext, DeviceInfo, MinerLibrary, OfficialError, Sealed, WorkProduct
from graval.official.miner import OfficialMiner, OfficialRefusedError, check_digest, locate
from graval.service.client import fetch_devices
from graval.verifier import ProofRejectedError
from tests.support.graval_service import DEVICES, MINER, bootstrap_service, client_of
from tests.support.graval_sessions import small_parameters

pytestmark = pytest.mark.service

GPU = "a" * 32
VECTOR = bytes(range(1, 17))


def sealed(text: bytes, vector: bytes = VECTOR) -> bytes:
    return vector + bytes(byte ^ vector[at % 16] for at, byte in enumerate(text))


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stub") / "libgraval-miner.so"
    source = Path(__file__).parent / "stub" / "miner.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", path, source], check=True, timeout=60)
    return path


@pytest.fixture
def official(stub: Path) -> Iterator[OfficialMiner]:
    opened = OfficialMiner(stub, {hashlib.sha256(stub.read_bytes()).hexdigest()})
    yield opened
    opened.close()


def test_structures_have_the_public_sizes_and_offsets() -> None:
    assert [ctypes.sizeof(kind) for kind in (DeviceInfo, WorkProduct, Ciphertext)] == [192, 32, 40]
    assert [DeviceInfo.uuid.offset, DeviceInfo.memory.offset, DeviceInfo.clock_rate.offset] == [64, 104, 120]
    assert [DeviceInfo.work_product.offset, DeviceInfo.opencl_initialized.offset] == [136, 184]
    assert [Ciphertext.seed.offset, Ciphertext.ciphertext.offset, Ciphertext.initialization_vector.offset] == [
        8,
        16,
        24,
    ]


def test_texts_that_the_library_gives_away_are_freed_through_its_own_handle(stub: Path) -> None:
    library = MinerLibrary(stub)
    freed = ctypes.CDLL(str(stub)).stub_freed
    before = freed()
    assert library.device_challenge("1" * 64) == "5" + "1" * 63
    assert freed() == before + 1
    library.close()


def test_the_library_in_this_process_refuses_in_words(stub: Path) -> None:
    library = MinerLibrary(stub)
    with pytest.raises(OfficialError, match="no such device"):
        library.device(2)
    with pytest.raises(OfficialError, match="work for this seed"):
        library.decrypt(0, Sealed(5, VECTOR, b"x"))
    with pytest.raises(OfficialError, match="no work product"):
        library.work_product(0)
    library.prove(5, 1)
    with pytest.raises(OfficialError, match="expected 16"):
        library.decrypt(0, Sealed(5, b"short", b"x"))
    with pytest.raises(OfficialError, match="no text"):
        library.decrypt(0, Sealed(5, VECTOR, sealed(b"\xff\xfe")[16:]))
    with pytest.raises(OfficialError, match="no such question"):
        answer(library, {"ask": "secrets"})


def test_a_file_that_is_no_such_library_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.so"
    path.write_bytes(b"not a library")
    with pytest.raises(OfficialError, match="not the official miner library"):
        MinerLibrary(path)
    with pytest.raises(BackendUnavailableError, match="is not a known release"):
        check_digest(path, set())
    trusted = OfficialMiner(path, {hashlib.sha256(path.read_bytes()).hexdigest()})
    with pytest.raises(BackendUnavailableError, match="not the official miner library"):
        trusted.devices()


def test_the_library_is_found_where_it_is_configured_or_installed_and_nowhere_else(tmp_path: Path, stub: Path) -> None:
    assert locate(stub, []) == stub
    installed = tmp_path / "graval" / "lib" / "libgraval-miner.so"
    installed.parent.mkdir(parents=True)
    installed.write_bytes(b"")
    assert locate(None, ["/nowhere", str(tmp_path)]) == installed
    for configured in (None, tmp_path / "absent.so"):
        with pytest.raises(BackendUnavailableError, match="GRAVAL_OFFICIAL_LIBRARY"):
            locate(configured, [])


def test_devices_proofs_and_texts_come_through_the_process(official: OfficialMiner) -> None:
    assert [device.uuid for device in official.devices()] == ["a" * 32, "b" * 32]
    proofs = official.prove(5, 2)
    assert [(len(proof.intermediate_hashes), proof.num_matrices) for proof in proofs] == [(6, 3), (6, 3)]
    assert proofs[1].intermediate_hashes[0] == f"{5 + 16:02x}" * 32
    assert official.decrypt(1, 5, sealed(b"decrypt me please")) == "decrypt me please"
    assert official.device_challenge("f" * 64) == "5" + "f" * 63


@pytest.mark.parametrize("seed", [13, 7])
def test_work_that_fails_or_makes_no_sense_is_refused_and_the_process_lives(official: OfficialMiner, seed: int) -> None:
    with pytest.raises(OfficialRefusedError, match=r"95 %|accepted are 1 to"):
        official.prove(seed, 1)
    assert official.prove(5, 1)


def test_a_library_that_crashes_takes_its_process_and_nothing_else(official: OfficialMiner) -> None:
    with pytest.raises(BackendUnavailableError, match="was lost"):
        official.prove(99, 1)
    assert official.devices()


def test_the_process_sees_no_secret_of_ours(official: OfficialMiner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_SECRET", "the stub refuses to start when it sees this")
    assert official.devices()


async def legacy(http: httpx.AsyncClient, content: object) -> httpx.Response:
    body = json.dumps(content).encode()
    return await http.post("/prove", content=body, headers=client_of(http).headers(body))


async def test_the_public_protocol_is_answered_beside_ours(official: OfficialMiner, tmp_path: Path) -> None:
    async with bootstrap_service(tmp_path, SimulatedBackend(DEVICES), official=official) as http:
        texts = {GPU: base64.b64encode(sealed(b"hello")).decode()}
        answered = (await legacy(http, {"seed": 5, "iterations": 2, "ciphertext": texts})).json()
        assert answered["plaintext"] == {GPU: "hello"}
        assert answered["proof"][GPU]["device_id"] == 0
        assert answered["proof"][GPU]["work_product"]["total_iterations"] == 2
        assert [device["uuid"] for device in answered["devices"]] == ["a" * 32, "b" * 32]
        client = client_of(http)
        opened = await client.begin(DEVICES[0], small_parameters())
        assert (await client.prove_sweep(opened, columns=8, rounds=1, tiles=1)).root


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"seed": -1}, 422), ({"seed": 5, "iterations": 11}, 422), ({"seed": 5, "ciphertext": {"c" * 32: "AA=="}}, 422),
        ({"seed": 5, "ciphertext": {GPU: "no base64"}}, 422), ({"seed": 13}, 500), ({"seed": 99}, 503),
        ({"seed": 5, "ciphertext": {GPU: base64.b64encode(bytes(20)).decode()}}, 500),
    ],
)  # fmt: skip
async def test_bodies_of_the_public_protocol_that_cannot_be_answered_say_why(
    official: OfficialMiner, tmp_path: Path, content: object, status: int
) -> None:
    async with bootstrap_service(tmp_path, SimulatedBackend(DEVICES), official=official) as http:
        assert (await legacy(http, content)).status_code == status


async def test_the_device_challenge_is_the_librarys(official: OfficialMiner, tmp_path: Path) -> None:
    async with bootstrap_service(tmp_path, SimulatedBackend(DEVICES), official=official) as http:
        for challenge, status in (("f" * 64, 200), ("0" + "f" * 63, 500), ("f" * 63, 422), ("", 422)):
            headers = client_of(http).purpose_headers()
            seen = await http.get("/info", params={"challenge": challenge}, headers=headers)
            assert seen.status_code == status


async def test_a_node_with_the_official_library_alone_lists_its_devices_and_speaks_no_ogv1(
    official: OfficialMiner, tmp_path: Path
) -> None:
    async with bootstrap_service(tmp_path, OfficialBackend(official), official=official) as http:
        with pytest.raises(ProofRejectedError, match="speaks graval, wanted ogv1"):
            await fetch_devices(http, MINER, client_of(http).now)
        device = official.devices()[0]
        with pytest.raises(ProofRejectedError, match=r"503.*ogv1 needs"):
            await client_of(http).begin(device, small_parameters())
