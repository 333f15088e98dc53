"""Commands `headframe gepetto record` and `replay`: what validators publish, kept in a file and tried again."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from app.gepetto.decision.configuration import Configuration
from app.gepetto.ingest.recording import RecordSettings, record_to
from app.gepetto.simulator import trace as traces
from app.gepetto.simulator.baselines import strategy_named
from app.gepetto.simulator.engine import Simulation
from app.gepetto.simulator.replay import RecordedMarket, income_by_miner, scenario_of, servers_of


def replay(
    trace: Path,
    *,
    server: tuple[str, ...] = ("pro_6000:8",),
    strategy: tuple[str, ...] = ("upstream_compat", "shadow_price"),
) -> int:
    """Try strategies against a recorded market, and show what the recorded miners earned in it.

    Args:
        trace: a file that `record` wrote.
        server: a server of the fleet as MODEL:GPUS; may be given several times.
        strategy: strategies to try; may be given several times.
    """
    lines = list(traces.read(trace))
    try:
        scenario = scenario_of(lines, servers_of(server))
        tried = [(name, *strategy_named(name, Configuration())) for name in strategy]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    table = Table("strategy", "units", "units per GPU-hour", "launches", title="Replayed; see the limits in replay.py")
    for name, one, configuration, seconds in tried:
        market = RecordedMarket(scenario, lines)
        found = Simulation(scenario, configuration, one, decide_seconds=seconds, market=market).run()
        table.add_row(name, f"{found.units:.1f}", f"{found.per_gpu_hour:.3f}", str(found.launches))
    console = Console()
    console.print(table)
    miners = Table("recorded miner", "multiplier-hours", "share")
    earned = income_by_miner(lines)
    for miner, units in sorted(earned.items(), key=lambda item: -item[1])[:20]:
        miners.add_row(miner, f"{units:.1f}", f"{units / max(sum(earned.values()), 1e-9):.1%}")
    console.print(miners)
    return 0


def record(trace: Path, *, samples: int = 0, pause_seconds: float = 60.0) -> int:
    """Record what the validators publish, for `replay`. Reads VALIDATORS and MINER_SEED; hotkeys are hashed.

    Args:
        trace: the file to write to; one that is there is gone on with.
        samples: end after so many; 0: go on until interrupted.
        pause_seconds: seconds between two samples.
    """
    try:
        asyncio.run(record_to(trace, RecordSettings(), samples=samples, pause_seconds=pause_seconds))
    except ValidationError as error:
        names = ", ".join(str(item["loc"][0]).upper() for item in error.errors())
        print(f"set {names} in the environment, as for Gepetto itself", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"recorded to {trace}")
    return 0
