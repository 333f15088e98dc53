"""Every preset, every strategy, twenty seeds, in runs that are kept: a second call goes on where the first one ended.

Runs are lines of a file beside other build outputs; each names the code that made it, and runs of other code are made
anew. `python -m tests.bench.gepetto.matrix --help` tells what may be left out.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import cyclopts

from app.gepetto.decision.configuration import Configuration
from app.gepetto.simulator.baselines import NAMES
from app.gepetto.simulator.bound import share_of_bound
from app.gepetto.simulator.compare import WARM_UP_HOURS, Interval, run_one
from app.gepetto.simulator.scenario import Preset, build

REFERENCE: Final = "upstream_compat"
#: What decides a run's result.
ROOMS: Final = tuple(Path("app/gepetto") / room for room in ("decision", "simulator", "strategies", "world"))
KEPT: Final = Path("build/gepetto-matrix.jsonl")
GPUS, HOURS = 50, 24.0


@dataclass(frozen=True, order=True)
class Case:
    """One run of the matrix."""

    preset: str
    strategy: str
    seed: int


@dataclass(frozen=True)
class Run:
    """What one run gave. `code` names the sources that made it; `share` is of the bound, after the warm-up hours."""

    case: Case
    code: str
    per_gpu_hour: float
    units: float
    share: float
    violations: int
    forfeited: float
    swaps: int
    launches: int
    seconds: float


def code_digest() -> str:
    """Fingerprint of the sources that decide a result."""
    digest = hashlib.blake2b(f"{GPUS} {HOURS}".encode(), digest_size=8)
    for room in ROOMS:
        for path in sorted(room.glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def run_case(case: Case, code: str) -> Run:
    """Simulate one case."""
    began = time.process_time()
    scenario = build(Preset(case.preset), case.seed, gpus=GPUS, hours=HOURS)
    result = run_one(scenario, case.strategy, Configuration())
    share = share_of_bound(scenario, result, skip_hours=WARM_UP_HOURS)
    return Run(
        case, code, result.per_gpu_hour, result.units, share, result.violations, result.forfeited, result.swaps,
        result.launches, time.process_time() - began,
    )  # fmt: skip


def kept_runs(path: Path, code: str) -> dict[Case, Run]:
    """Runs of this code that a file holds; a line that was cut off is no run."""
    found: dict[Case, Run] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            fields = json.loads(line)
        except json.JSONDecodeError:
            continue
        run = Run(**fields | {"case": Case(**fields["case"])})
        if run.code == code:
            found[run.case] = run
    return found


def complete(cases: list[Case], path: Path, processes: int) -> dict[Case, Run]:
    """All runs of the cases; those that are not kept yet are made and kept one by one."""
    code = code_digest()
    found = kept_runs(path, code)
    open_cases = [case for case in cases if case not in found]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file, ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        try:
            for done in as_completed([pool.submit(run_case, case, code) for case in open_cases]):
                run = done.result()
                found[run.case] = run
                file.write(json.dumps(asdict(run)) + "\n")
                file.flush()
                print(f"{len(found)} of {len(cases)}", end="\r", file=sys.stderr)
        except BaseException:  # whoever ends it waits for two runs and not for hundreds
            pool.shutdown(cancel_futures=True)
            raise
    return {case: found[case] for case in cases}


def table(runs: dict[Case, Run], seeds: int) -> Iterator[str]:
    """A table in Markdown: means with 95 % intervals, differences paired seed by seed."""
    yield "| preset | strategy | units per GPU-hour | against upstream_compat | of the bound | broken rules |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for preset in dict.fromkeys(case.preset for case in runs):
        for name in dict.fromkeys(case.strategy for case in runs):
            own, other = (
                [runs[Case(preset, strategy, seed)] for seed in range(1, seeds + 1)] for strategy in (name, REFERENCE)
            )
            value = Interval.of([run.per_gpu_hour for run in own])
            gain = Interval.of([a.units / b.units - 1 for a, b in zip(own, other, strict=True)])
            sign = " *" if gain.excludes_zero else ""
            yield (
                f"| {preset} | {name} | {value.mean:.3f} [{value.low:.3f}, {value.high:.3f}] | "
                + ("-" if name == REFERENCE else f"{gain.mean:+.1%} [{gain.low:+.1%}, {gain.high:+.1%}]{sign}")
                + f" | {Interval.of([run.share for run in own]).mean:.1%} | {sum(run.violations for run in own)} |"
            )


def main(*, seeds: int = 20, processes: int = 2, kept: Path = KEPT) -> None:
    """Run what is missing and print the table.

    Args:
        seeds: seeds of each preset and strategy.
        processes: runs at once.
        kept: the file of runs.
    """
    # Seed by seed, so that an unfinished matrix has some seeds of everything and not all seeds of something.
    cases = [Case(preset.value, name, seed) for seed in range(1, seeds + 1) for preset in Preset for name in NAMES]
    runs = complete(cases, kept, processes)
    for line in table(dict(sorted(runs.items(), key=lambda item: _place(item[0]))), seeds):
        print(line)
    spent = sum(run.seconds for run in runs.values())
    print(f"\n{len(runs)} runs, {spent:.0f} s of one core; * the interval excludes zero")


def _place(case: Case) -> tuple[int, int, int]:
    return [preset.value for preset in Preset].index(case.preset), NAMES.index(case.strategy), case.seed


if __name__ == "__main__":
    cyclopts.run(main)
