"""First thing on a new GPU: `python -m graval.cuda.check --library libogv.so`.

Every kernel against the NumPy reference, bit for bit; only then its times, each beside the card's data sheet and a
copy of this very card. Nothing is judged: the medians are what bands are made from (docs/graval-results.md).
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Annotated, Final

import cyclopts
from rich.console import Console
from rich.table import Table

from app.protocol.gpus import match_device_name
from graval.backends.base import BackendUnavailableError
from graval.calibration import AdmissionPlan, SweepPlan, admission_plan, small_plan
from graval.cuda.library import Device, Library
from graval.cuda.prover import CudaProver
from graval.lock import prepare_lock
from graval.messages import ChaseRequest, DenseRequest, SweepRequest, TileChoice
from graval.reference import ReferenceProver
from graval.session import DeviceDescription, Session, WorkLimits, WorkParameters

REPEATS: Final = 5
COPY_BYTES: Final = 1 << 30
DENSE_SIDES: Final = (8, 33, 130)
#: Dense int8 in 10^12 operations and memory in 10^12 bytes a second, by data sheets; to be checked when measuring.
DATA_SHEETS: Final = {
    "a100_sxm": (624, 2.04), "4090": (661, 1.01), "l40s": (733, 0.86), "l4": (242, 0.30), "h100": (1513, 2.0),
    "h100_sxm": (1979, 3.35), "h200": (1979, 4.8), "h20": (296, 4.0), "b200": (4500, 8.0),
}  # fmt: skip

cli = cyclopts.App(name="python -m graval.cuda.check", help="Compare a GPU with the reference, then measure it.")


@dataclass(frozen=True)
class Equality:
    """One comparison with the reference."""

    name: str
    is_equal: bool


@dataclass(frozen=True)
class Measurement:
    """One quantity: median and spread over the repeats, and its rate in 10^12 a second where it has one."""

    name: str
    seconds: float
    spread: float
    rate: float | None = None
    unit: str = ""
    share: float | None = None


def sizes() -> dict[str, WorkParameters]:
    """Sizes at which kernels have edges: rows inside a block, padded trees, both widths, lanes that fill no warp."""

    def sized(inner: int, columns: int, rows: int, tile_rows: int, lanes: int) -> WorkParameters:
        return WorkParameters(
            inner=inner, columns=columns, chain_length=3, rows=rows, rounds=2, tile_rows=tile_rows, lanes=lanes
        )

    return {
        "odd": sized(96, 41, 17 * 24, 24, 37),
        "small": sized(64, 8, 32, 16, 4),
        "full inner size": sized(4096, 17, 144, 16, 256),
    }


def compare(library: Library, index: int, parameters: WorkParameters) -> Iterator[Equality]:
    """Every phase of one session on both."""
    session = _session(library.describe(index), parameters)
    device, reference = CudaProver(session, library.open(index, 128 * parameters.inner)), ReferenceProver(session)
    try:
        sweep = SweepRequest(start=bytes(32), columns=parameters.columns, rounds=2)
        yield Equality("sweep", device.sweep(sweep) == reference.sweep(sweep))
        narrow = SweepRequest(start=bytes(32), columns=min(parameters.columns, 16), rounds=1)
        yield Equality("narrow sweep", device.sweep(narrow) == reference.sweep(narrow))
        last = [TileChoice(round=1, tile=parameters.tiles - 1)]
        yield Equality("opening", device.open_tiles(last) == reference.open_tiles(last))
        chase = ChaseRequest(nonce=bytes(32), groups=2, steps=70)
        yield Equality("chase", device.chase(chase) == reference.chase(chase))
        header, key = prepare_lock(session, parameters.columns, 2, 4, Random(1))  # noqa: S311 - nothing is secret here
        yield Equality("lock", device.open_lock(header) == key)
        for side in DENSE_SIDES:
            request = DenseRequest(nonce=bytes(32), rows=(0, side - 1))
            is_equal = device.commit_dense(side) == reference.commit_dense(side)
            yield Equality(
                f"dense {side}", is_equal and device.answer_dense(request) == reference.answer_dense(request)
            )
    finally:
        device.close()


def measure(library: Library, index: int, plan: AdmissionPlan, repeats: int, copy_bytes: int) -> list[Measurement]:
    """Times of the phases by the device's clock, over a fill as large as the plan's."""
    description = library.describe(index)
    model = match_device_name(description.name)
    operations, bandwidth = DATA_SHEETS.get(model.short_ref if model else "", (None, None))
    session = _session(description, plan.parameters)
    found = _measure_alone(library.open(index), session, plan.dense_inner, repeats, (copy_bytes, operations))
    device = library.open(index)
    prover = CudaProver(session, device, WorkLimits())
    chase = ChaseRequest(nonce=bytes(32), groups=plan.chase_groups, steps=plan.chase_steps)
    read = _Amount(plan.parameters.fill_bytes, "TB/s", bandwidth)
    computed = _Amount(2 * plan.parameters.fill_bytes * plan.compute.columns, "T int8/s", operations)
    try:
        return [
            *found,
            _measured("fill", _clocked(device, "fill", prover.fill), 1, _Amount(plan.parameters.fill_bytes, "TB/s")),
            _measured_sweep(prover, device, plan.bandwidth, repeats, read),
            _measured_sweep(prover, device, plan.compute, repeats, computed),
            _measured("chase", _clocked(device, "chase", partial(prover.chase, chase)), repeats, None),
        ]
    finally:
        prover.close()


def _measure_alone(
    device: Device, session: Session, inner: int, repeats: int, copy: tuple[int, float | None]
) -> list[Measurement]:
    """What needs memory of its own, before the fill leaves none."""
    prover, (copy_bytes, operations) = CudaProver(session, device, WorkLimits()), copy
    product = _clocked(device, "matmul", partial(prover.commit_dense, inner))
    amount = _Amount(2 * inner**3, "T int8/s", operations)
    try:
        return [
            _measured(
                "copy, read and write",
                partial(device.copy_seconds, copy_bytes),
                repeats,
                _Amount(2 * copy_bytes, "TB/s"),
            ),
            _measured("dense product", product, repeats, amount),
        ]
    finally:
        prover.close()


@cli.default
def main(
    *,
    library: Path,
    device: int = 0,
    repeats: int = REPEATS,
    quick: Annotated[bool, cyclopts.Parameter(help="a small fill: shows that it runs, measures nothing")] = False,
) -> int:
    """Exit code 0 when every comparison holds, 1 when one does not, 69 without library, driver or GPU."""
    console = Console()
    try:
        loaded = Library(library)
        count = loaded.device_count()
        description = loaded.describe(device)
    except BackendUnavailableError as error:
        console.print(str(error))
        return 69
    console.print(f"device {device} of {count}: {description.name}, {description.memory / 1e9:.1f} GB")
    if not _print_equality(console, loaded, device):
        return 1
    plan = small_plan(rows=64, inner=64) if quick else admission_plan(description)
    found = measure(loaded, device, plan, repeats, 1 << 20 if quick else COPY_BYTES)
    table = Table("what", "median", "spread", "rate", "of data sheet", title="By the device's clock")
    for one in found:
        rate = f"{one.rate:.3g} {one.unit}" if one.rate is not None else ""
        share = f"{one.share:.0%}" if one.share is not None else ""
        table.add_row(one.name, f"{one.seconds * 1e3:.2f} ms", f"{one.spread * 1e3:.2f} ms", rate, share)
    console.print(table)
    return 0


def _print_equality(console: Console, library: Library, index: int) -> bool:
    table, holds = Table("size", "phase", "bits", title="Against the reference"), True
    for name, parameters in sizes().items():
        for one in compare(library, index, parameters):
            table.add_row(name, one.name, "equal" if one.is_equal else "DIFFERENT")
            holds = holds and one.is_equal
    console.print(table)
    return holds


def _session(device: DeviceDescription, parameters: WorkParameters) -> Session:
    return Session(device, parameters, bytes(range(32)), b"\x11" * 32, "check", "check")


@dataclass(frozen=True)
class _Amount:
    """Operations or bytes of one run, and how many 10^12 a second the data sheet promises."""

    count: int
    unit: str
    sheet: float | None = None


def _clocked(device: Device, timing: str, work: Callable[[], object]) -> Callable[[], float]:
    """Do the work; answer with the seconds that the device took for it."""

    def run() -> float:
        work()
        seconds: float = getattr(device.timings(), timing)
        return seconds

    return run


def _measured_sweep(prover: CudaProver, device: Device, sweep: SweepPlan, repeats: int, amount: _Amount) -> Measurement:
    request = SweepRequest(start=bytes(32), columns=sweep.columns, rounds=1)
    run = _clocked(device, "sweep", partial(prover.sweep, request))
    return _measured(f"sweep round of {sweep.columns} columns", run, repeats, amount)


def _measured(name: str, run: Callable[[], float], repeats: int, amount: _Amount | None) -> Measurement:
    seconds = [run() for _ in range(repeats)]
    middle = median(seconds)
    spread = max(seconds) - min(seconds)
    if amount is None or middle <= 0:
        return Measurement(name, middle, spread)
    rate = amount.count / middle / 1e12
    return Measurement(name, middle, spread, rate, amount.unit, rate / amount.sheet if amount.sheet else None)


if __name__ == "__main__":
    sys.exit(cli())
