"""Gepetto's figures: `python -m tests.bench.gepetto [decide|loop|launch|week|cold|matrix]`, the last two only if named.

Fleets are made up; validator and clusters of the loop and launch benches are HTTP servers on loopback sockets, those of
the loop in a process of their own. Public figures beside ours follow from the public code (spec: gepetto 23.2); they
are not measured.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

from app.gepetto.cli import results_table
from app.gepetto.decision.configuration import Configuration, PlacementConfiguration, StrategyName
from app.gepetto.decision.decide import decide
from app.gepetto.decision.memory import Memory
from app.gepetto.simulator.compare import Matrix, compare, run_one
from app.gepetto.simulator.scenario import Preset, build
from app.gepetto.world.snapshot import Snapshot
from tests.bench.gepetto import matrix
from tests.bench.gepetto.launches import cold_launches
from tests.bench.gepetto.loop import Figures, rows
from tests.support.gepetto import NOW, make_chute, make_deployment, make_server, make_snapshot

SERVERS, CHUTES = 125, 1000


def fleet(*, full: bool) -> Snapshot:
    """1,000 GPUs and 1,000 chutes, drawn from a fixed seed."""
    rng = np.random.default_rng(1)
    kinds = ("pro_6000", "h200", "b200")
    servers = tuple(
        make_server(i, gpu_type=kinds[i % 3], free_mask=0 if full else 0xFF, hourly_cost=1.0 + i % 5)
        for i in range(SERVERS)
    )
    chutes = tuple(
        make_chute(
            i,
            gpu_count=int(rng.choice([1, 1, 1, 2, 4, 8])),
            gpu_types=frozenset(rng.choice(kinds, int(rng.integers(1, 3)), replace=False).tolist()),
            m_eff=float(rng.uniform(0.3, 2)),
            target=int(rng.integers(1, 5)),
            live=int(rng.integers(0, 3)),
            global_active=int(rng.integers(0, 4)),
        )
        for i in range(CHUTES)
    )
    rows = tuple(
        make_deployment(f"d{j}-{gpu}", server, chutes[(j * 8 + gpu) % CHUTES], 1 << gpu, multiplier=0.4)
        for j, server in enumerate(servers if full else ())
        for gpu in range(8)
    )
    return make_snapshot(servers, chutes, rows)


def percentile(work: Callable[[int], object], times: int) -> tuple[float, float]:
    """Median and 99th percentile in milliseconds of CPU time, so that a busy machine does not count."""
    found = []
    for number in range(times):
        began = time.process_time()
        work(number)
        found.append(1000 * (time.process_time() - began))
    return float(np.median(found)), float(np.percentile(found, 99))


def bench_decide(console: Console) -> None:
    table = Table(
        "strategy",
        "fleet",
        "full: median, p99 ms",
        "incremental: median, p99 ms",
        title="decide(), 1,000 x 1,000, CPU ms",
    )
    for full in (False, True):
        snapshot = fleet(full=full)
        for name in StrategyName:
            configuration = Configuration(strategy=name, placement=PlacementConfiguration(starts_per_server=8))
            whole = percentile(lambda _, c=configuration, s=snapshot: decide(s, c, Memory()), 15)  # type: ignore[misc]
            memory = decide(snapshot, configuration, Memory())[1]

            def one_event(
                number: int, c: Configuration = configuration, s: Snapshot = snapshot, m: Memory = memory
            ) -> None:
                i = number % CHUTES
                changed = replace(s.chutes[i], m_eff=1.5)
                decide(replace(s, now=NOW + 1, chutes=(*s.chutes[:i], changed, *s.chutes[i + 1 :])), c, m)

            part = percentile(one_event, 40)
            table.add_row(
                name.value,
                "full" if full else "empty",
                f"{whole[0]:.1f}, {whole[1]:.1f}",
                f"{part[0]:.1f}, {part[1]:.1f}",
            )
    console.print(table)
    console.print("aim: p99 <= 100 ms full, <= 10 ms incremental; public program: > 2,000 serial queries (derived)")


def bench_launch(console: Console) -> None:
    seconds, launched, queries = asyncio.run(cold_launches())
    console.print(
        f"{launched} cold launches over HTTP, validator answering in 50 ms: {seconds:.1f} s; "
        f"the limit of 10 tokens per second alone makes {launched / 10:.0f} s. Statements per launch: {queries:.1f}."
    )
    console.print(f"aim: <= 180 s; public program: one launch per 15 s pass, {launched * 15 / 3600:.1f} h (derived)")


def bench_week(console: Console) -> None:
    scenario = build(Preset.LIVE_LIKE, 1, gpus=1000, chutes=1000, hours=168)
    began, busy = time.perf_counter(), time.process_time()
    result = run_one(scenario, "shadow_price", Configuration())
    seconds, computing = time.perf_counter() - began, time.process_time() - busy
    console.print(
        f"one simulated week, 1,000 GPUs x 1,000 chutes: {seconds:.0f} s ({computing:.0f} s of one core); "
        f"{result.decisions} decisions of "
        f"{1000 * result.decision_seconds / result.decisions:.1f} ms, {result.launches} launches (aim: <= 60 s)"
    )


def bench_loop(console: Console) -> None:
    table = Table(
        "what", "measured", "aim", "public program (derived)", title="the whole loop, 1,000 GPUs x 1,000 chutes"
    )
    # In a process of its own, so that no other bench's memory counts.
    found = subprocess.run(
        [sys.executable, "-m", "tests.bench.gepetto.loop"], capture_output=True, check=True, text=True
    )
    for row in rows(Figures(**orjson.loads(found.stdout.splitlines()[-1]))):
        table.add_row(*row)
    console.print(table)


def bench_cold(console: Console) -> None:
    """The first day of a big fleet from an empty one, where filling it takes the public program hours."""
    matrix = Matrix((Preset.LIVE_LIKE,), ("shadow_price",), tuple(range(1, 7)), gpus=1000, chutes=1000)
    found = compare(matrix, Configuration(), lambda name: print(name, flush=True), processes=2)
    console.print(results_table(found, "upstream_compat"))
    console.print("aim: at least +10 % on the live-like preset from a cold start")


def bench_matrix(console: Console) -> None:
    matrix.main()


def main() -> None:
    console = Console(width=140)
    benches = {
        "decide": bench_decide, "loop": bench_loop, "launch": bench_launch, "week": bench_week, "cold": bench_cold,
        "matrix": bench_matrix,
    }  # fmt: skip
    for name in sys.argv[1:] or ("decide", "loop", "launch", "week"):
        benches[name](console)


if __name__ == "__main__":
    main()
