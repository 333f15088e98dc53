"""The whole proof of a node's devices, as miner API and validator ask for it. All devices start together.

A device that fails does not stop the others: each gets a verdict, and the caller decides.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from graval.calibration import AdmissionPlan, PhaseBands, PhaseName, SweepPlan, admission_plan, description_problem
from graval.service.client import OpenSession, ProofClient
from graval.service.rendezvous import Rendezvous
from graval.session import DeviceDescription, ParameterRefusedError
from graval.verifier import ProofRejectedError


@dataclass(frozen=True)
class DeviceVerdict:
    """What came of one device. `problem` is None when its proof held; times are the verifier's, in seconds."""

    device: DeviceDescription
    problem: str | None
    elapsed_seconds: Mapping[PhaseName, float]
    #: Whether times were held against measured bands; without them a proof says nothing about speed.
    times_judged: bool


async def verify_node(
    client: ProofClient,
    devices: Sequence[DeviceDescription],
    plan: Callable[[DeviceDescription], AdmissionPlan] = admission_plan,
) -> tuple[DeviceVerdict, ...]:
    """A verdict for each device, in order. Raises ValueError when two have one uuid.

    All matrices are held at once: no sweep starts before every device is filled, and none is released before all are
    done. So one GPU cannot prove two devices, one after the other.
    """
    if len({device.uuid for device in devices}) != len(devices):
        raise ValueError("two devices of the node have the same uuid")
    others = Rendezvous(len(devices))
    return tuple(await asyncio.gather(*(_verdict(client, device, plan(device), others) for device in devices)))


async def verify_device(client: ProofClient, device: DeviceDescription, plan: AdmissionPlan) -> DeviceVerdict:
    """One device alone; for a node use `verify_node`."""
    return await _verdict(client, device, plan, Rendezvous(1))


async def _verdict(
    client: ProofClient, device: DeviceDescription, plan: AdmissionPlan, others: Rendezvous
) -> DeviceVerdict:
    """The device is released afterwards: the next verifier need not wait until the session has idled."""
    elapsed: dict[PhaseName, float] = {}
    problem = description_problem(device)
    if problem is not None:
        await others.leave()
        return DeviceVerdict(device, problem, elapsed, bool(plan.bands))
    try:
        await _prove(client, device, plan, elapsed, others)
        check_times(elapsed, plan.bands)
    except (ProofRejectedError, ParameterRefusedError) as error:
        problem = str(error)
    finally:
        await others.leave()
        with contextlib.suppress(ProofRejectedError):
            await client.release(device)
    return DeviceVerdict(device, problem, elapsed, bool(plan.bands))


async def _prove(
    client: ProofClient,
    device: DeviceDescription,
    plan: AdmissionPlan,
    elapsed: dict[PhaseName, float],
    others: Rendezvous,
) -> None:
    """Dense product in a session of its own, then fill, both sweeps and the chase over one matrix."""
    opened = await client.begin(device, plan.parameters)
    elapsed[PhaseName.DENSE] = (await client.prove_dense(opened, plan.dense_inner, plan.dense_rows)).elapsed_seconds
    opened = await client.begin(device, plan.parameters)
    elapsed[PhaseName.FILL] = await client.fill(opened)
    await others.meet()
    elapsed[PhaseName.BANDWIDTH] = await _sweep(client, opened, plan.bandwidth)
    elapsed[PhaseName.COMPUTE] = await _sweep(client, opened, plan.compute)
    proved = await client.prove_chase(opened, plan.chase_groups, plan.chase_steps, plan.chase_openings)
    elapsed[PhaseName.CHASE] = proved.elapsed_seconds
    await others.meet()


async def _sweep(client: ProofClient, opened: OpenSession, sweep: SweepPlan) -> float:
    return (await client.prove_sweep(opened, sweep.columns, sweep.rounds, sweep.tiles)).elapsed_seconds


def check_times(elapsed: Mapping[PhaseName, float], bands: PhaseBands) -> None:
    """Hold times against bands. Raises ProofRejectedError for the first that is outside; too fast is as suspicious."""
    for phase, band in bands.items():
        seconds = elapsed.get(phase)
        if seconds is None or not band.accepts(seconds):
            raise ProofRejectedError(
                f"phase {phase.value} took {seconds} s, accepted are {band.lower * band.median_seconds:.3f} to "
                f"{band.upper * band.median_seconds:.3f} s"
            )
