"""A whole exchange over HTTP on the CPU reference: a made-up GPU is proved, and only its prover reads the message."""

import asyncio
import dataclasses
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.protocol.signing import Purpose
from graval.backends.simulated import SimulatedBackend
from graval.messages import SweepRequest
from graval.service.application import BODY_BYTES, ServiceSettings
from graval.service.client import OpenSession
from graval.service.phases import Sweep
from graval.service.proving import IDLE_SECONDS
from graval.verifier import ProofRejectedError
from tests.support.graval_service import (
    DEVICES,
    MINER,
    OTHER_VALIDATOR,
    STRANGER,
    bootstrap_service,
    client_of,
)
from tests.support.graval_sessions import made_up_device, small_parameters

pytestmark = pytest.mark.service


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    folder = tmp_path / "challenge"
    folder.mkdir()
    (folder / "file").write_bytes(b"0123456789")
    (tmp_path / "secret").write_bytes(b"not for anybody")
    async with bootstrap_service(folder) as client:
        yield client


async def test_a_gpu_is_listed_proved_and_sent_a_message_that_it_opens(http: httpx.AsyncClient) -> None:
    listed = await http.get("/devices", headers=MINER.management_headers(str(int(time.time())), purpose=Purpose.GRAVAL))
    assert [device["uuid"] for device in listed.json()["devices"]] == [device.uuid for device in DEVICES]
    assert listed.json()["protocols"] == ["ogv1"]
    client = client_of(http)
    opened = await client.begin(DEVICES[0], small_parameters(rows=256))
    work_key = (await client.prove_sweep(opened, columns=8, rounds=2, tiles=8)).root
    assert await client.send(opened, work_key, "the launch key") == "the launch key"
    with pytest.raises(ProofRejectedError, match=r"422.*does not open"):
        await client.send(opened, bytes(32), "sealed with another work key")


async def test_lock_mode_carries_the_message_ahead_of_the_work(http: httpx.AsyncClient) -> None:
    client = client_of(http)
    opened = await client.begin(DEVICES[1], small_parameters(rows=64))
    read = await client.send_locked(opened, columns=8, rounds=2, hidden_rows=5, text="first the message")
    assert read == "first the message"


async def test_a_dense_product_and_a_chase_are_proved_over_http(http: httpx.AsyncClient) -> None:
    client = client_of(http)
    opened = await client.begin(DEVICES[0], small_parameters())
    dense = await client.prove_dense(opened, inner=32, rows=4)
    opened = await client.begin(DEVICES[0], small_parameters(lanes=16))
    assert await client.fill(opened) >= 0
    chase = await client.prove_chase(opened, groups=2, steps=130, openings=5)
    assert len({dense.root, chase.root}) == 2
    with pytest.raises(ProofRejectedError, match=r"422.*dense inner is 16385"):
        await client.prove_dense(opened, inner=16385, rows=1)
    with pytest.raises(ProofRejectedError, match=r"422.*groups is 65"):
        await client.prove_chase(opened, groups=65, steps=1, openings=1)


async def test_a_chase_and_a_dense_product_of_a_foreign_session_are_rejected(http: httpx.AsyncClient) -> None:
    client = client_of(http)
    own = await client.begin(DEVICES[0], small_parameters())
    swapped = OpenSession(own.session_id, dataclasses.replace(own.session, nonce=bytes(32)))
    with pytest.raises(ProofRejectedError, match="does not follow"):
        await client.prove_chase(swapped, groups=1, steps=4, openings=2)
    with pytest.raises(ProofRejectedError, match="image"):
        await client.prove_dense(swapped, inner=16, rows=1)


async def test_a_device_in_another_verifiers_use_is_409_until_that_session_has_idled(tmp_path: Path) -> None:
    clock = [time.time()]
    async with bootstrap_service(tmp_path, now=lambda: clock[0]) as http:
        first = dataclasses.replace(client_of(http), now=lambda: clock[0])
        second = dataclasses.replace(client_of(http, OTHER_VALIDATOR), now=lambda: clock[0])
        held = await first.begin(DEVICES[0], small_parameters())
        with pytest.raises(ProofRejectedError, match=r"409.*another verifier"):
            await second.begin(DEVICES[0], small_parameters())
        await second.begin(DEVICES[1], small_parameters())
        clock[0] += IDLE_SECONDS + 1
        opened = await second.begin(DEVICES[0], small_parameters())
        assert (await second.prove_sweep(opened, columns=8, rounds=1, tiles=1)).root
        with pytest.raises(ProofRejectedError, match=r"409.*no such session"):
            await first.prove_sweep(held, columns=8, rounds=1, tiles=1)


async def test_a_foreign_gpus_proof_and_message_are_refused(http: httpx.AsyncClient) -> None:
    client = client_of(http)
    own = await client.begin(DEVICES[0], small_parameters())
    foreign = await client.begin(DEVICES[1], small_parameters())
    mixed = OpenSession(own.session_id, foreign.session)
    with pytest.raises(ProofRejectedError, match=r"409.*no such session"):
        await client.prove_sweep(mixed, columns=8, rounds=1, tiles=1)
    swapped = OpenSession(own.session_id, dataclasses.replace(own.session, miner_identity="another"))
    with pytest.raises(ProofRejectedError, match="not under its root"):
        await client.prove_sweep(swapped, columns=8, rounds=1, tiles=1)
    absent = made_up_device("a" * 32)
    with pytest.raises(ProofRejectedError, match=r"409.*no device"):
        await client.begin(absent, small_parameters())


async def test_replayed_stale_future_foreign_and_unsigned_requests_are_401(http: httpx.AsyncClient) -> None:
    body = b'{"protocol": "ogv1", "phase": "hello", "device_uuid": "0123456789abcdef0123456789abcdef"}'
    headers = client_of(http).headers(body)
    assert (await http.post("/prove", content=body, headers=headers)).status_code == 200
    refused = [
        headers,
        {},
        client_of(http, late_seconds=31).headers(body),
        client_of(http, late_seconds=-40).headers(body),
        client_of(http, STRANGER).headers(body),
        client_of(http).headers(b"another body"),
    ]
    for one in refused:
        assert (await http.post("/prove", content=body, headers=one)).status_code == 401
    assert (await http.get("/devices")).status_code == 401
    assert (await http.get("/info?challenge=00")).status_code == 401
    assert (await http.post("/filesystem", content=b"{}")).status_code == 401


async def test_work_beyond_the_limits_is_refused_before_it_starts(http: httpx.AsyncClient) -> None:
    client = client_of(http)
    with pytest.raises(ProofRejectedError, match=r"422.*columns is 2048"):
        await client.begin(DEVICES[0], small_parameters(columns=2048))
    with pytest.raises(ProofRejectedError, match=r"422.*the device has 1073741824"):
        await client.begin(DEVICES[0], small_parameters(rows=1 << 30))
    opened = await client.begin(DEVICES[0], small_parameters())
    with pytest.raises(ProofRejectedError, match=r"422.*rounds is 3"):
        await client.prove_sweep(opened, columns=8, rounds=3, tiles=1)
    big = b" " * (BODY_BYTES + 1)
    assert (await http.post("/prove", content=big, headers=client.headers(big))).status_code == 413


async def test_phases_out_of_order_are_409_and_foreign_protocols_say_so(http: httpx.AsyncClient) -> None:
    client = client_of(http)
    opened = await client.begin(DEVICES[0], small_parameters())
    with pytest.raises(ProofRejectedError, match=r"409.*only after a sweep"):
        await client.send(opened, bytes(32), "too early")
    legacy, broken = b'{"seed": 7, "iterations": 1}', b'{"protocol": "ogv9", "phase": "hello"}'
    assert (await http.post("/prove", content=legacy, headers=client.headers(legacy))).status_code == 501
    assert (await http.post("/prove", content=broken, headers=client.headers(broken))).status_code == 422
    assert (await http.post("/remote_token", content=legacy, headers=client.headers(legacy))).status_code == 404
    assert (await http.get("/ping")).text == "pong"


async def test_a_second_proof_at_the_same_time_is_429(http: httpx.AsyncClient) -> None:
    client = client_of(http)
    opened = await client.begin(DEVICES[0], small_parameters(inner=4096, rows=1024, columns=256, chain_length=4))
    request = SweepRequest(start=bytes(32), columns=256, rounds=2)
    body = Sweep(device_uuid=DEVICES[0].uuid, session_id=opened.session_id, request=request).model_dump_json().encode()
    answers = await asyncio.gather(
        *(http.post("/prove", content=body, headers=client.headers(body), timeout=60) for _ in range(3))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 429, 429]


@pytest.mark.parametrize(
    ("filename", "offset", "length", "status"),
    [
        ("file", 2, 3, 200), ("/file", 0, 10, 200), ("file", 8, 3, 422), ("file", 0, 0, 422), ("absent", 0, 1, 422),
        ("../secret", 0, 3, 422),
    ],
)  # fmt: skip
async def test_the_filesystem_challenge_digests_exactly_the_range(
    http: httpx.AsyncClient, filename: str, offset: int, length: int, status: int
) -> None:
    body = f'{{"filename": "{filename}", "offset": {offset}, "length": {length}}}'.encode()
    answer = await http.post("/filesystem", content=body, headers=client_of(http).headers(body))
    assert answer.status_code == status
    if status == 200:
        assert answer.text == hashlib.sha256(b"0123456789"[offset : offset + length]).hexdigest()


def test_a_service_without_miner_or_whitelist_does_not_start(tmp_path: Path) -> None:
    for miner, whitelist in (("", frozenset({"v"})), ("m", frozenset[str]())):
        with pytest.raises(ValueError, match="whitelist"):
            ServiceSettings(miner, whitelist, SimulatedBackend(DEVICES), tmp_path, time.time, lambda: "")
