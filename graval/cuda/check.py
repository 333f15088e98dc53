"""First thing on a new GPU: `python -m graval.cuda.check --library libogv.so`.

Every kernel against the NumPy reference, bit for bit; only then its times, each beside the card's data sheet and a
copy of this very card, and what two cheats cost. Nothing is judged: the medians are what bands are made from
(docs/graval-results.md).
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Annotated, Final

import cyclopts
from rich.console import Console
from rich.table import Table

from graval.backends.base import BackendUnavailableError
from graval.calibration import admission_plan, small_plan
from graval.cuda.library import Library
from graval.cuda.measurement import Measurement
from graval.cuda.nvml import conditions
from graval.cuda.phases import QUICK, Extent, check_session, measure
from graval.cuda.prover import CudaProver
from graval.lock import prepare_lock
from graval.messages import ChaseRequest, DenseRequest, SweepRequest, TileChoice
from graval.reference import ReferenceProver
from graval.session import Session, WorkParameters

REPEATS: Final = 5
DENSE_SIDES: Final = (8, 33, 130)
#: Of the tables, whose rows would be broken up in a log that says nothing of its width.
WIDTH: Final = 132

cli = cyclopts.App(name="python -m graval.cuda.check", help="Compare a GPU with the reference, then measure it.")


@dataclass(frozen=True)
class Equality:
    """One comparison with the reference."""

    name: str
    is_equal: bool


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
    session = check_session(library.describe(index), parameters)
    device, reference = CudaProver(session, library.open(index, 128 * parameters.inner)), ReferenceProver(session)
    try:
        sweep = SweepRequest(start=bytes(32), columns=parameters.columns, rounds=2)
        yield Equality("sweep", device.sweep(sweep) == reference.sweep(sweep))
        narrow = SweepRequest(start=bytes(32), columns=min(parameters.columns, 16), rounds=1)
        roots = reference.sweep(narrow)
        yield Equality("narrow sweep", device.sweep(narrow) == roots)
        yield Equality("rows in host memory", _sweep_from_host(library, index, session, narrow) == roots)
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


def _sweep_from_host(library: Library, index: int, session: Session, request: SweepRequest) -> tuple[bytes, ...]:
    """By a device whose last rows lie in the host's memory, as a cheat's would (graval.cuda.phases)."""
    opened = library.open(index, 128 * session.parameters.inner)
    opened.hold_in_host(1)
    prover = CudaProver(session, opened)
    try:
        return prover.sweep(request)
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
    console = Console(width=WIDTH)
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
    console.print(f"before: {conditions(description.uuid)}")
    found = measure(loaded, device, plan, replace(QUICK, repeats=repeats) if quick else Extent(repeats))
    console.print(_table(found))
    console.print(f"after: {conditions(description.uuid)}")
    return 0


def _print_equality(console: Console, library: Library, index: int) -> bool:
    table, holds = Table("size", "phase", "bits", title="Against the reference"), True
    for name, parameters in sizes().items():
        for one in compare(library, index, parameters):
            table.add_row(name, one.name, "equal" if one.is_equal else "DIFFERENT")
            holds = holds and one.is_equal
    console.print(table)
    return holds


def _table(found: list[Measurement]) -> Table:
    table = Table("what", "median", "spread", "rate", "of data sheet", "of honest", title="By the device's clock")
    for one in found:
        rate = f"{one.rate:.3g} {one.unit}" if one.rate is not None else ""
        share = f"{one.share:.0%}" if one.share is not None else ""
        times = f"{one.times:.2f} times" if one.times is not None else ""
        table.add_row(one.name, f"{one.seconds * 1e3:.3f} ms", f"{one.spread * 1e3:.3f} ms", rate, share, times)
    return table


if __name__ == "__main__":
    sys.exit(cli())
