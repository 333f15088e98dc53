"""A whole node is proved over HTTP, all devices at once; cheats get a verdict, and so do times outside their bands."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from graval.backends.simulated import SimulatedBackend
from graval.bands import TimeBand
from graval.calibration import PhaseName, small_plan
from graval.primitives import UInt64Array
from graval.reference import ReferenceProver
from graval.service.admission import verify_device, verify_node
from graval.service.client import fetch_devices
from graval.service.rendezvous import Rendezvous
from graval.session import DeviceDescription, Session, WorkLimits
from graval.sweep import RoundInput
from graval.verifier import ProofRejectedError
from tests.support.graval_service import DEVICES, MINER, STRANGER, VALIDATOR, bootstrap_service, client_of

pytestmark = pytest.mark.service


class Forger(ReferenceProver):
    """Makes up its fingerprints."""

    def fingerprints(self, inputs: RoundInput) -> UInt64Array:
        return super().fingerprints(inputs) ^ np.uint64(1)


@dataclass(frozen=True)
class HalfForged(SimulatedBackend):
    """The second device cheats."""

    def prover(self, session: Session, limits: WorkLimits) -> ReferenceProver:
        return (Forger if session.device == DEVICES[1] else ReferenceProver)(session, limits)


class OneMemory:
    """A single GPU behind two uuids: a second matrix has no place until the first is given back."""

    def __init__(self) -> None:
        self.free = threading.Semaphore(1)


class Crammed(ReferenceProver):
    """Waits for the memory, as a cheat would who serves his devices one after the other."""

    memory = OneMemory()
    is_held = False

    def fill(self) -> None:
        self.is_held = self.memory.free.acquire(timeout=30)
        super().fill()

    def release(self) -> None:
        super().release()
        if self.is_held:
            self.is_held = False
            self.memory.free.release()


@dataclass(frozen=True)
class OneGpuForTwo(SimulatedBackend):
    def prover(self, session: Session, limits: WorkLimits) -> ReferenceProver:
        return Crammed(session, limits)


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with bootstrap_service(tmp_path) as client:
        yield client


def problems(verdicts: Iterable[object]) -> list[str | None]:
    return [getattr(verdict, "problem", "") for verdict in verdicts]


@pytest.mark.parametrize("signer", [VALIDATOR, MINER], ids=["the validator", "the miner API itself"])
async def test_every_device_of_a_node_is_proved_in_all_phases(http: httpx.AsyncClient, signer: object) -> None:
    devices = await fetch_devices(http, MINER, time.time)
    assert devices == DEVICES
    client = client_of(http, MINER if signer is MINER else VALIDATOR)
    verdicts = await verify_node(client, devices, lambda _: small_plan())
    assert problems(verdicts) == [None, None]
    assert all(set(verdict.elapsed_seconds) == set(PhaseName) for verdict in verdicts)
    assert not any(verdict.times_judged for verdict in verdicts)


async def test_a_device_that_cheats_is_named_and_the_others_are_proved(tmp_path: Path) -> None:
    async with bootstrap_service(tmp_path, HalfForged(DEVICES)) as http:
        honest, forged = await verify_node(client_of(http), DEVICES, lambda _: small_plan())
    assert honest.problem is None
    assert forged.problem is not None
    assert "not under its root" in forged.problem


async def test_one_gpu_cannot_prove_two_devices_one_after_the_other(tmp_path: Path) -> None:
    async with bootstrap_service(tmp_path, OneGpuForTwo(DEVICES)) as http:
        client = replace(client_of(http), phase_seconds=8)
        alone = await verify_device(client, DEVICES[0], small_plan())
        assert alone.problem is None
        refused = [
            problem for problem in problems(await verify_node(client, DEVICES, lambda _: small_plan())) if problem
        ]
    assert len(refused) == 1
    assert "did not answer" in refused[0]


async def test_a_device_that_leaves_is_not_waited_for() -> None:
    meeting, came = Rendezvous(3), list[int]()

    async def party(number: int) -> None:
        await meeting.meet()
        came.append(number)
        await meeting.meet()

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(party(1))
        group.create_task(party(2))
        await asyncio.sleep(0)
        assert not came
        group.create_task(meeting.leave())
    assert sorted(came) == [1, 2]


@pytest.mark.parametrize(("median", "verdict"), [(1e-9, "accepted are"), (1e9, "accepted are"), (None, None)])
async def test_a_phase_outside_its_band_is_refused_on_both_sides(
    http: httpx.AsyncClient, median: float | None, verdict: str | None
) -> None:
    band = TimeBand(1.0, lower=1e-9, upper=1e9) if median is None else TimeBand(median)
    plan = replace(small_plan(), bands={PhaseName.CHASE: band})
    (seen,) = await verify_node(client_of(http), DEVICES[:1], lambda _: plan)
    assert seen.times_judged
    assert (seen.problem is None) == (verdict is None)
    assert verdict is None or verdict in str(seen.problem)


async def test_a_device_that_the_node_does_not_have_or_that_is_named_twice_is_refused(http: httpx.AsyncClient) -> None:
    absent = DeviceDescription(**(DEVICES[0].model_dump() | {"uuid": "a" * 32}))
    (seen,) = await verify_node(client_of(http), [absent], lambda _: small_plan())
    assert "409" in str(seen.problem)
    spoofed = DeviceDescription(**(DEVICES[0].model_dump() | {"name": "NVIDIA H100 80GB HBM3"}))
    seen, other = await verify_node(client_of(http), [spoofed, DEVICES[1]], lambda _: small_plan())
    assert "4 processors, a h100_sxm has 132" in str(seen.problem)
    assert other.problem is None
    with pytest.raises(ValueError, match="same uuid"):
        await verify_node(client_of(http), [DEVICES[0], DEVICES[0]], lambda _: small_plan())


async def test_a_stranger_learns_no_devices_and_a_dead_node_says_nothing(http: httpx.AsyncClient) -> None:
    with pytest.raises(ProofRejectedError, match="401"):
        await fetch_devices(http, STRANGER, time.time)
    async with httpx.AsyncClient(base_url="http://127.0.0.1:1") as nobody:
        with pytest.raises(ProofRejectedError, match="did not answer"):
            await fetch_devices(nobody, MINER, time.time)
