"""Commands `headframe simulate` and `headframe gepetto ...`; mounted by the operator CLI. No import-time work."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import cyclopts
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from app.gepetto.decision.configuration import Configuration
from app.gepetto.files import inspect
from app.gepetto.files.runner import FileFaultError
from app.gepetto.files.wire import load_snapshot
from app.gepetto.simulator.baselines import NAMES
from app.gepetto.simulator.compare import Comparison, Interval, Matrix, compare
from app.gepetto.simulator.scenario import Preset

app = cyclopts.App(name="gepetto", help="Look into Gepetto's decisions, try strategies, check strategy files.")


#: So many runs are done before other processes have started.
FEW_RUNS = 4


def _percent(interval: Interval) -> str:
    return f"{interval.mean:+.1%} [{interval.low:+.1%}, {interval.high:+.1%}]"


def results_table(comparisons: list[Comparison], reference: str) -> Table:
    """One row per preset and strategy."""
    table = Table(title="Simulated; 95 % intervals over seeds")
    for name in ("preset", "strategy", "units per GPU-hour", f"against {reference}", "of the bound", "broken rules"):
        table.add_column(name, no_wrap=name in {"preset", "strategy"})
    for item in comparisons:
        value = item.per_gpu_hour
        table.add_row(
            item.preset,
            item.strategy,
            f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]",
            "-" if item.strategy == reference else _percent(item.difference),
            f"{item.bound_share.mean:.0%}",
            str(item.violations),
        )
    return table


@app.command
def simulate(
    *,
    preset: tuple[Preset, ...] = (Preset.LIVE_LIKE,),
    strategy: tuple[str, ...] = ("shadow_price", "conservative"),
    seeds: int = 3,
    gpus: int = 50,
    chutes: int | None = None,
    hours: float = 24.0,
    reference: str = "upstream_compat",
    plot: Annotated[Path | None, cyclopts.Parameter(help="write a picture there (svg, png, pdf)")] = None,
) -> int:
    """Try strategies on simulated fleets, on the same seeds, beside a reference.

    Args:
        preset: kind of fleet and market; may be given several times.
        strategy: strategies to try; may be given several times.
        seeds: number of seeds; more of them give narrower intervals.
        gpus: GPUs of the fleet.
        chutes: chutes of the market; default four times the GPUs.
        hours: simulated hours.
        reference: what the others are compared with.
        plot: a file for the picture.
    """
    unknown = [name for name in (*strategy, reference) if name not in NAMES]
    if unknown:
        print(f"no strategy is called {unknown[0]!r}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    matrix = Matrix(preset, strategy, tuple(range(1, seeds + 1)), gpus, chutes, hours, reference)
    console = Console()
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("simulating", total=matrix.runs + len(preset) * seeds * (reference not in strategy))
        found = compare(
            matrix,
            Configuration(),
            lambda name: bar.update(task, advance=1, description=name),
            processes=os.cpu_count() or 1 if matrix.runs > FEW_RUNS else 1,
        )
    console.print(results_table(found, reference))
    if plot is not None:
        from app.gepetto.simulator.plot import draw  # noqa: PLC0415 - matplotlib takes a second to import

        draw(found, plot)
        console.print(f"wrote {plot}")
    return 0


@app.command
def check(file: Path) -> int:
    """Check a strategy file: kind, loading under limits, one dry decision on a made-up fleet.

    Args:
        file: the `gepetto.py`.
    """
    findings = asyncio.run(inspect.check(file))
    for finding in findings:
        print(f"{'ok    ' if finding.ok else 'FAILED'} {finding.step}: {finding.detail}")
    return 0 if all(finding.ok for finding in findings) else 1


@app.command
def diff(new: Path, *, old: Path | None = None, snapshot: Path | None = None) -> int:
    """What a file would decide otherwise than another one, or than the default.

    Args:
        new: the file to try.
        old: the file to compare with; default: the built-in strategy.
        snapshot: a snapshot as JSON (from `GET /snapshot` of Gepetto); default: a made-up fleet.
    """
    world = inspect.bundled_snapshot() if snapshot is None else load_snapshot(snapshot.read_bytes())
    try:
        found = asyncio.run(inspect.diff(old, new, world, Configuration()))
    except FileFaultError as error:
        print(f"the file failed ({error.kind}): {error}", file=sys.stderr)
        return 1
    for key in found.only_first:
        print(f"- {key}")
    for key in found.only_second:
        print(f"+ {key}")
    print(f"{found.common} in common, {len(found.only_first)} dropped, {len(found.only_second)} new")
    return 0


if __name__ == "__main__":
    app()
