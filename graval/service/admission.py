"""The whole proof of a node's devices, as miner API and validator ask for it. All devices start together.

A device that fails does not stop the others: each gets a verdict, and the caller decides.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from graval.calibration import AdmissionPlan, PhaseBands, PhaseName, SweepPlan, admission_plan
from graval.service.client import OpenSession, ProofClient
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
    """A verdict for each device, in order. Raises ValueError when two have one uuid: one GPU could serve both."""
    if len({device.uuid for device in devices}) != len(devices):
        raise ValueError("two devices of the node have the same uuid")
    return tuple(await asyncio.gather(*(verify_device(client, device, plan(device)) for device in devices)))


async def verify_device(client: ProofClient, device: DeviceDescription, plan: AdmissionPlan) -> DeviceVerdict:
    """Dense product in a session of its own, then fill, both sweeps and the chase over one matrix.

    The device is released afterwards: the next verifier need not wait until the session has idled.
    """
    elapsed: dict[PhaseName, float] = {}
    try:
        await _prove(client, device, plan, elapsed)
        check_times(elapsed, plan.bands)
    except (ProofRejectedError, ParameterRefusedError) as error:
        return DeviceVerdict(device, str(error), elapsed, bool(plan.bands))
    finally:
        with contextlib.suppress(ProofRejectedError):
            await client.release(device)
    return DeviceVerdict(device, None, elapsed, bool(plan.bands))


async def _prove(
    client: ProofClient, device: DeviceDescription, plan: AdmissionPlan, elapsed: dict[PhaseName, float]
) -> None:
    opened = await client.begin(device, plan.parameters)
    elapsed[PhaseName.DENSE] = (await client.prove_dense(opened, plan.dense_inner, plan.dense_rows)).elapsed_seconds
    opened = await client.begin(device, plan.parameters)
    elapsed[PhaseName.FILL] = await client.fill(opened)
    elapsed[PhaseName.BANDWIDTH] = await _sweep(client, opened, plan.bandwidth)
    elapsed[PhaseName.COMPUTE] = await _sweep(client, opened, plan.compute)
    proved = await client.prove_chase(opened, plan.chase_groups, plan.chase_steps, plan.chase_openings)
    elapsed[PhaseName.CHASE] = proved.elapsed_seconds


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
