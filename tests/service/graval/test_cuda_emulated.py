"""The device code, compiled for the CPU, gives the reference's bits in every phase, at odd and at full sizes.

This is proof of the kernels' logic, fragments and barriers included. It is none of their speed, and none that a GPU's
matrix units do what the manual says: no kernel ran on a GPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import numpy as np
import pytest

from graval.backends.base import BackendUnavailableError, ProtocolOrderError
from graval.backends.cuda import CudaBackend
from graval.calibration import small_plan
from graval.cuda.library import DeviceError, Library, RoundKeys
from graval.cuda.prover import CudaProver
from graval.lock import LockRefusedError, prepare_lock
from graval.messages import ChaseChoice, ChaseRequest, DenseRequest, SweepRequest, TileChoice
from graval.reference import ReferenceProver
from graval.service.admission import verify_node
from graval.session import ParameterRefusedError, Session, WorkLimits
from tests.support.graval_cuda import emulated_library
from tests.support.graval_service import bootstrap_service, client_of
from tests.support.graval_sessions import NO_STATE, small_parameters, vector_session

pytestmark = pytest.mark.service

#: Rows that end inside a block, tiles that pad the tree, widths of both kernels, lanes that fill no warp, pieces of
#: the matrix that end inside it.
ODD = small_parameters(rows=17 * 24, tile_rows=24, columns=41, inner=96, lanes=37, chain_length=3)
SIZES = {
    "the published vectors": small_parameters(),
    "odd everywhere": ODD,
    "one row to a tile": small_parameters(rows=5, tile_rows=1, columns=16),
    "two pieces of 128 rows": small_parameters(rows=256, columns=129, inner=160),
    "the full inner size": small_parameters(rows=144, inner=4096, columns=17, chain_length=1),
}


@pytest.fixture(scope="module")
def library() -> Library:
    return Library(emulated_library())


@contextmanager
def provers(library: Library, session: Session) -> Iterator[tuple[CudaProver, ReferenceProver]]:
    chunk_bytes = 128 * session.parameters.inner
    emulated = CudaProver(session, library.open(0, chunk_bytes))
    yield emulated, ReferenceProver(session)
    emulated.close()


def test_the_emulated_device_says_what_it_is(library: Library) -> None:
    assert library.device_count() == 1
    assert library.describe(0).name.startswith("SIMULATED")


@pytest.mark.parametrize("size", SIZES)
def test_sweeps_and_openings_are_the_references_bit_for_bit(library: Library, size: str) -> None:
    parameters = SIZES[size]
    with provers(library, vector_session(parameters)) as (emulated, reference):
        for columns in {1, parameters.columns}:
            request = SweepRequest(start=NO_STATE, columns=columns, rounds=2)
            assert emulated.sweep(request) == reference.sweep(request)
            choices = [TileChoice(round=1, tile=0), TileChoice(round=2, tile=parameters.tiles - 1)]
            assert emulated.open_tiles(choices) == reference.open_tiles(choices)


@pytest.mark.parametrize("size", ["odd everywhere", "two pieces of 128 rows"])
def test_the_products_of_the_oldest_architecture_are_the_references_too(size: str) -> None:
    parameters = SIZES[size]
    with provers(Library(emulated_library(narrow=True)), vector_session(parameters)) as (emulated, reference):
        request = SweepRequest(start=NO_STATE, columns=parameters.columns, rounds=1)
        assert emulated.sweep(request) == reference.sweep(request)


@pytest.mark.parametrize("size", ["the published vectors", "odd everywhere"])
def test_chases_are_the_references_bit_for_bit(library: Library, size: str) -> None:
    with provers(library, vector_session(SIZES[size])) as (emulated, reference):
        request = ChaseRequest(nonce=b"\x33" * 32, groups=3, steps=70)
        assert emulated.chase(request) == reference.chase(request)
        choices = [ChaseChoice(group=2, step=65)]
        assert emulated.open_steps(choices) == reference.open_steps(choices)


@pytest.mark.parametrize("inner", [8, 33, 130])
def test_dense_products_are_the_references_bit_for_bit(library: Library, inner: int) -> None:
    with provers(library, vector_session()) as (emulated, reference):
        assert emulated.commit_dense(inner) == reference.commit_dense(inner)
        request = DenseRequest(nonce=b"\x44" * 32, rows=(0, inner - 1))
        assert emulated.answer_dense(request) == reference.answer_dense(request)


def test_locks_open_with_the_references_key_and_foreign_tags_do_not(library: Library) -> None:
    session = vector_session(ODD)
    header, work_key = prepare_lock(session, 41, 2, 9, Random(5))
    with provers(library, session) as (emulated, _):
        assert emulated.open_lock(header) == work_key
        locked = header.rounds[0].model_copy(update={"tags": (header.rounds[0].tags[0], bytes(16))})
        with pytest.raises(LockRefusedError, match="1 of 2 tags"):
            emulated.open_lock(header.model_copy(update={"rounds": (locked, header.rounds[1])}))


def test_rows_in_the_hosts_memory_are_whole_pieces_from_the_end_and_change_no_bit(library: Library) -> None:
    session = vector_session(SIZES["two pieces of 128 rows"])
    parameters, request = session.parameters, SweepRequest(start=NO_STATE, columns=9, rounds=1)
    piece = 128 * parameters.inner
    for rows, pieces in ((0, 0), (1, 1), (128, 1), (129, 2), (1000, 2)):
        device = library.open(0, piece)
        device.hold_in_host(rows)
        emulated = CudaProver(session, device)
        assert emulated.sweep(request) == ReferenceProver(session).sweep(request)
        assert device.host_bytes() == pieces * piece
        emulated.close()


def test_the_library_refuses_what_it_cannot_do_in_words(library: Library) -> None:
    device, keys = library.open(0), RoundKeys(bytes(32), bytes(32), 8)
    with pytest.raises(DeviceError, match="fill first"):
        device.sweep(keys, 16, 0, 2)
    with pytest.raises(DeviceError, match="commit first"):
        device.matmul_image(np.zeros(8, dtype=np.uint64))
    with pytest.raises(DeviceError, match="memory for the matrix"):
        device.fill(bytes(32), 1 << 20, 4096, 1)
    device.fill(bytes(32), 32, 64, 1)
    for tile_rows, cut, nodes in ((3, 0, 2), (16, 5, 1)):
        with pytest.raises(DeviceError, match="refused by the library"):
            device.sweep(keys, tile_rows, cut, nodes)
    with pytest.raises(DeviceError, match="tiles"):
        device.open_tiles(keys, 16, 2, 1)
    assert device.timings().fill > 0
    device.close()


@pytest.fixture
def backend() -> Iterator[CudaBackend]:
    opened = CudaBackend(emulated_library(), chunk_bytes=1 << 16)
    yield opened
    opened.close()


async def test_a_node_with_the_library_is_proved_over_http_by_a_process_for_its_device(
    backend: CudaBackend, tmp_path: Path
) -> None:
    async with bootstrap_service(tmp_path, backend) as http:
        (verdict,) = await verify_node(client_of(http), backend.devices(), lambda _: small_plan(rows=64, inner=64))
    assert verdict.problem is None


def test_a_devices_process_that_dies_ends_its_session_and_the_next_one_works(backend: CudaBackend) -> None:
    (device,) = backend.devices()
    session = Session(device, small_parameters(), NO_STATE, b"\x11" * 32, "validator", "miner")
    prover = backend.prover(session, WorkLimits())
    roots = prover.sweep(SweepRequest(start=NO_STATE, columns=8, rounds=1))
    backend.close()
    with pytest.raises(ProtocolOrderError, match="begin"):
        prover.sweep(SweepRequest(start=NO_STATE, columns=8, rounds=1))
    worker = backend._workers[device.uuid]
    assert worker._process is not None
    worker._process.kill()
    worker._process.join(30)
    with pytest.raises(BackendUnavailableError, match="ended during sweep"):
        prover.sweep(SweepRequest(start=NO_STATE, columns=8, rounds=1))
    prover = backend.prover(session, WorkLimits())
    assert prover.sweep(SweepRequest(start=NO_STATE, columns=8, rounds=1)) == roots


def test_refusals_of_the_prover_cross_the_pipe(backend: CudaBackend) -> None:
    (device,) = backend.devices()
    session = Session(device, small_parameters(), NO_STATE, b"\x11" * 32, "validator", "miner")
    prover = backend.prover(session, WorkLimits())
    with pytest.raises(ParameterRefusedError, match="columns is 9"):
        prover.sweep(SweepRequest(start=NO_STATE, columns=9, rounds=1))
    with pytest.raises(ProtocolOrderError, match="before any sweep"):
        prover.open_tiles([TileChoice(round=1, tile=0)])
    big = Session(device, small_parameters(inner=4096, rows=1 << 18), NO_STATE, b"\x11" * 32, "validator", "miner")
    with pytest.raises(ParameterRefusedError, match="the device has 268435456"):
        backend.prover(big, WorkLimits())
