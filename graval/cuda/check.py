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
from graval.calibration import AdmissionPlan, admission_plan, small_plan
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
    device = library.open(index)
    prover = CudaProver(session, device, WorkLimits())
    fill_bytes, inner = plan.parameters.fill_bytes, plan.parameters.inner
    try:
        found = [_measured("copy, read and write", lambda: device.copy_seconds(copy_bytes), repeats, 2 * copy_bytes)]
        dense_work = 2 * plan.dense_inner**3
        found.append(
            _measured("dense product", _after(device, lambda: prover.commit_dense(plan.dense_inner), "matmul"), repeats,
                      dense_work, "T int8/s", operations)
        )  # fmt: skip
        found.append(_measured("fill", _after(device, prover.fill, "fill"), 1, fill_bytes))
        for sweep in (plan.bandwidth, plan.compute):
            request = SweepRequest(start=bytes(32), columns=sweep.columns, rounds=1)
            is_wide = sweep is plan.compute
            work = 2 * plan.parameters.rows * inner * sweep.columns if is_wide else fill_bytes
            found.append(
                _measured(
                    f"sweep round of {sweep.columns} columns",
                    _after(device, partial(prover.sweep, request), "sweep"),
                    repeats,
                    work,
                    "T int8/s" if is_wide else "TB/s",
                    operations if is_wide else bandwidth,
                )
            )
        chase = ChaseRequest(nonce=bytes(32), groups=plan.chase_groups, steps=plan.chase_steps)
        found.append(_measured("chase", _after(device, lambda: prover.chase(chase), "chase"), repeats))
    finally:
        prover.close()
    return found


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


def _after(device: Device, work: Callable[[], object], timing: str) -> Callable[[], float]:
    def run() -> float:
        work()
        seconds: float = getattr(device.timings(), timing)
        return seconds

    return run


def _measured(
    name: str, run: Callable[[], float], repeats: int, amount: int = 0, unit: str = "TB/s", sheet: float | None = None
) -> Measurement:
    seconds = [run() for _ in range(repeats)]
    middle = median(seconds)
    rate = amount / middle / 1e12 if amount and middle > 0 else None
    share = rate / sheet if rate is not None and sheet else None
    return Measurement(name, middle, max(seconds) - min(seconds), rate, unit if rate is not None else "", share)


if __name__ == "__main__":
    sys.exit(cli())
