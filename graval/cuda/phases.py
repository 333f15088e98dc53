"""Times of the phases on one GPU, of an honest prover and of two cheats (spec graval 4.6, 4.11, 5.5).

The cheats hold a small share of the rows in the host's memory, or make labels again instead of holding them. What they
cost beside an honest prover is what a band must be narrower than; it depends on card, bus and host.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from app.protocol.gpus import match_device_name
from graval.calibration import AdmissionPlan, SweepPlan
from graval.cuda.library import Device, Library
from graval.cuda.measurement import Amount, Measurement, Steps, clocked, measured
from graval.cuda.prover import CudaProver
from graval.messages import SweepRequest
from graval.session import DeviceDescription, Session, WorkLimits, WorkParameters

#: Dense int8 in 10^12 operations and memory in 10^12 bytes a second, by data sheets; to be checked when measuring.
DATA_SHEETS: Final = {
    "a100_sxm": (624, 2.04), "4090": (661, 1.01), "l40s": (733, 0.86), "l4": (242, 0.30), "h100": (1513, 2.0),
    "h100_sxm": (1979, 3.35), "h200": (1979, 4.8), "h20": (296, 4.0), "b200": (4500, 8.0),
}  # fmt: skip
#: What the verifier is meant to notice, and what it must.
HOST_PERCENT: Final = (1, 5)
#: Chases of few lanes measure a latency, for which fewer steps do.
LATENCY_STEPS_DIVISOR: Final = 8


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    repeats: int
    copy_bytes: int = 1 << 30
    #: Compressions in a chain that is timed alone, so many that launching it does not count.
    links: int = 20_000
    #: A share in the host's memory is rounded up to whole pieces of the matrix: small ones keep it near the percentage.
    cheat_piece_bytes: int = 1 << 27


#: Shows that every measurement runs, and measures nothing.
QUICK: Final = Extent(repeats=1, copy_bytes=1 << 16, links=20, cheat_piece_bytes=1 << 12)


def check_session(device: DeviceDescription, parameters: WorkParameters) -> Session:
    """A session with nobody, for keys."""
    return Session(device, parameters, bytes(range(32)), b"\x11" * 32, "check", "check")


def measure(library: Library, index: int, plan: AdmissionPlan, extent: Extent) -> list[Measurement]:
    """Times by the device's clock, over a fill as large as the plan's; cheats beside the honest prover of the plan."""
    session = check_session(library.describe(index), plan.parameters)
    alone = _measure_alone(library.open(index), session, plan, extent)
    label = _measure_label(library.open(index), session, extent)
    fill, narrow, wide, chase, *latencies = _measure_filled(library.open(index), session, plan, extent)
    found = [*alone, fill, narrow, wide, chase, *latencies]
    found.append(
        Measurement("cheat: all rows made again for a round", fill.seconds, fill.spread).beside(narrow.seconds)
    )
    found.append(label.beside(chase.seconds / plan.chase_steps))
    for percent in HOST_PERCENT:
        device = library.open(index, extent.cheat_piece_bytes)
        in_host = _measure_in_host(device, session, plan, percent, extent.repeats)
        found += [one.beside(honest.seconds) for one, honest in zip(in_host, (narrow, chase), strict=True)]
    return found


def _measure_alone(device: Device, session: Session, plan: AdmissionPlan, extent: Extent) -> list[Measurement]:
    """What needs memory of its own, before the fill leaves none."""
    prover, copied = CudaProver(session, device, WorkLimits()), Amount(2 * extent.copy_bytes, "TB/s")
    product = clocked(device, "matmul", partial(prover.commit_dense, plan.dense_inner))
    amount = Amount(2 * plan.dense_inner**3, "T int8/s", _data_sheet(session.device)[0])
    try:
        return [
            measured("copy, read and write", partial(device.copy_seconds, extent.copy_bytes), extent.repeats, copied),
            measured("dense product, with operands and leaves", product, extent.repeats, amount),
        ]
    finally:
        prover.close()


def _measure_label(device: Device, session: Session, extent: Extent) -> Measurement:
    """One label from its neighbour, in the only block of a launch. The block's other warps slow the chain somewhat."""
    chain_length, links = session.parameters.chain_length, extent.links
    work = partial(device.fill, session.seed(), 1, 32, links)
    one_label = clocked(device, "fill", work)
    try:
        return measured(
            "cheat: a label made again for a step",
            lambda: one_label() * chain_length / links,
            extent.repeats,
            Steps(1, f"ns by {chain_length} links"),
        )
    finally:
        device.close()


def _measure_filled(device: Device, session: Session, plan: AdmissionPlan, extent: Extent) -> list[Measurement]:
    """Fill, narrow round, wide round and chase of an honest prover, and what a step waits for."""
    prover, repeats = CudaProver(session, device, WorkLimits()), extent.repeats
    fill_bytes, (operations, bandwidth) = plan.parameters.fill_bytes, _data_sheet(session.device)
    computed = Amount(2 * fill_bytes * plan.compute.columns, "T int8/s", operations)
    steps = max(1, plan.chase_steps // LATENCY_STEPS_DIVISOR)
    try:
        return [
            measured("fill", clocked(device, "fill", prover.fill), 1, Amount(fill_bytes, "TB/s")),
            _measure_sweep(prover, device, plan.bandwidth, repeats, Amount(fill_bytes, "TB/s", bandwidth)),
            _measure_sweep(prover, device, plan.compute, repeats, computed),
            _measure_chase(device, plan.chase_groups, plan.parameters.lanes, plan.chase_steps, repeats),
            _measure_chase(device, 1, plan.parameters.lanes, steps, repeats),
            _measure_chase(device, 1, 1, steps, repeats),
        ]
    finally:
        prover.close()


def _measure_in_host(
    device: Device, session: Session, plan: AdmissionPlan, percent: int, repeats: int
) -> list[Measurement]:
    """Narrow round and chase of a prover that holds a share of the rows in the host's memory."""
    prover, parameters = CudaProver(session, device, WorkLimits()), plan.parameters
    try:
        device.hold_in_host(-(-parameters.rows * percent // 100))
        prover.fill()
        name = f"cheat: {device.host_bytes() / parameters.fill_bytes:.1%} in host memory, "
        read = Amount(parameters.fill_bytes, "TB/s")
        return [
            _measure_sweep(prover, device, plan.bandwidth, repeats, read, name),
            _measure_chase(device, plan.chase_groups, parameters.lanes, plan.chase_steps, repeats, name),
        ]
    finally:
        prover.close()


def _measure_sweep(
    prover: CudaProver, device: Device, sweep: SweepPlan, repeats: int, amount: Amount, name: str = ""
) -> Measurement:
    request = SweepRequest(start=bytes(32), columns=sweep.columns, rounds=1)
    run = clocked(device, "sweep", partial(prover.sweep, request))
    return measured(f"{name}sweep round of {sweep.columns} columns", run, repeats, amount)


def _measure_chase(device: Device, groups: int, lanes: int, steps: int, repeats: int, name: str = "") -> Measurement:
    """Any first states do: nobody checks the log."""
    states = np.arange(2 * groups, dtype=np.uint64).reshape(groups, 2)
    run = clocked(device, "chase", partial(device.chase, states, lanes, steps))
    return measured(f"{name}chase, {groups} x {lanes} lanes", run, repeats, Steps(steps))


def _data_sheet(device: DeviceDescription) -> tuple[float | None, float | None]:
    """Operations and bytes, in 10^12 a second."""
    model = match_device_name(device.name)
    return DATA_SHEETS.get(model.short_ref if model else "", (None, None))
