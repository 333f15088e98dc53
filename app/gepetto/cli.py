"""Commands `headframe simulate` and `headframe gepetto ...`; mounted by the operator CLI. No import-time work."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import cyclopts
import httpx
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from app.gepetto.decision.configuration import Configuration
from app.gepetto.files import inspect
from app.gepetto.files.runner import FileFaultError
from app.gepetto.files.shadow import Look
from app.gepetto.files.shadow import shadow as run_shadow
from app.gepetto.files.wire import load_snapshot
from app.gepetto.simulator.baselines import NAMES
from app.gepetto.simulator.compare import Comparison, Interval, Matrix, compare
from app.gepetto.simulator.scenario import Preset
from app.gepetto.trace_commands import record, replay
from app.gepetto.world.snapshot import Snapshot

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


@app.command
def shadow(file: Path, *, url: str = "http://127.0.0.1:8000", looks: int = 0, pause_seconds: float = 5.0) -> int:
    """Let a file decide beside the running Gepetto, and print what it would do otherwise. It acts on nothing.

    Args:
        file: the file to try.
        url: address of Gepetto; `kubectl -n chutes port-forward deployment/gepetto 8000` brings it here.
        looks: end after so many decisions; 0: go on until interrupted.
        pause_seconds: seconds between two looks.
    """
    try:
        return asyncio.run(_shadow(file, url, looks, pause_seconds))
    except FileFaultError as error:
        print(f"the file failed ({error.kind}): {error}", file=sys.stderr)
    except (httpx.HTTPError, OSError) as error:
        print(f"Gepetto at {url} gives no snapshot ({error}): is it the leader, is --url right?", file=sys.stderr)
    except KeyboardInterrupt:
        return 0
    return 1


async def _shadow(file: Path, url: str, looks: int, pause_seconds: float) -> int:
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:

        async def read() -> Snapshot:
            answer = await http.get("/snapshot")
            return load_snapshot(answer.raise_for_status().content)

        seen = 0
        async with aclosing(run_shadow(file, read, Configuration(), pause_seconds=pause_seconds)) as found:
            async for look in found:
                _print_look(look)
                seen += 1
                if seen == looks:
                    break
    return 0


def _print_look(look: Look) -> None:
    at = datetime.fromtimestamp(look.at, UTC).isoformat(timespec="seconds")
    difference = look.difference
    print(f"{at}: {difference.common} in common")
    for key in difference.only_first:
        print(f"- {key}")
    for key in difference.only_second:
        print(f"+ {key}")


app.command(replay)
app.command(record)


if __name__ == "__main__":
    app()
