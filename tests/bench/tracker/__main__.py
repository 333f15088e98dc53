"""What a snapshot and an analysis cost beside the plain way, in one run: `make bench ROOM=tracker`.

The plain way of a snapshot is a metagraph per subnet, one after the other; that of an analysis is a loop over files.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import track
from rich.table import Table

from lab.chain.node import Faults
from tests.support.chains import NETWORK, Addresses, Running, chain, running, snapshot_of
from tracker import files
from tracker.ranking import SortBy, rank_snapshots
from tracker.store.database import open_engine
from tracker.store.query import Range, rank
from tracker.store.store import Store

LATENCY_MS = 50
BLOCKS_BETWEEN = 300


async def timed(where: Running, call: Callable[[], Awaitable[object]]) -> tuple[float, int]:
    """Seconds and calls of one piece of work."""
    where.node.calls.clear()
    started = time.perf_counter()
    await call()
    return time.perf_counter() - started, len(where.node.calls)


async def snapshots(table: Table) -> None:
    import bittensor

    from tracker.chain.connect import Endpoint, connect
    from tracker.scan import take_snapshot

    async with running(chain("full"), Faults(delay_ms=LATENCY_MS)) as where:
        async with connect(Endpoint(where.url)) as reader:
            ours = [await timed(where, lambda: take_snapshot(reader, now=lambda: datetime.now(UTC))) for _ in range(3)]

        async def plain() -> None:
            view = await client.at(block)
            for netuid in range(129):
                await view.subnets.metagraph(netuid)

        client = bittensor.Client(where.url, fallback_endpoints=[], archive_endpoints=[])
        await client.connect()
        block = where.node.chain.finalized
        theirs = await timed(where, plain)
        await client.close()
    seconds, calls = median(run[0] for run in ours), ours[0][1]
    table.add_row("snapshot of 129 subnets, 50 ms latency", f"{seconds:.2f} s, {calls} calls", "<= 2 s, <= 40 calls")
    table.add_row("  a metagraph per subnet", f"{theirs[0]:.2f} s, {theirs[1]} calls", f"{theirs[0] / seconds:.1f} x")


async def analyses(table: Table, count: int, folder: Path) -> None:
    source, addresses = chain("full"), Addresses()
    source.head = source.base_block + BLOCKS_BETWEEN * (count + 1)
    async with open_engine(str(folder / "history.db")) as engine:
        store = Store(engine)
        kept = []
        for number in track(range(count), f"making {count} snapshots"):
            taken = snapshot_of(source, source.base_block + BLOCKS_BETWEEN * (number + 1), addresses)
            await store.add(taken)
            if number % (count // 20) == 0:
                kept.append(files.write(taken, folder / "files")[0])
        runs = []
        for _ in range(5):
            started = time.perf_counter()
            await rank(engine, Range(NETWORK), SortBy.REPLACEMENTS)
            runs.append(time.perf_counter() - started)
    seconds = median(runs)
    started = time.perf_counter()
    rank_snapshots([files.read(path) for path in kept], SortBy.REPLACEMENTS)
    plain = (time.perf_counter() - started) * count / len(kept)
    size = (folder / "history.db").stat().st_size / 1e6
    table.add_row(f"analysis of {count} stored snapshots", f"{seconds:.3f} s, {size:.1f} MB", "<= 0.1 s for 1,000")
    table.add_row(f"  files in a loop ({len(kept)} read, scaled)", f"{plain:.1f} s", f"{plain / seconds:.0f} x")


async def main(count: int) -> None:
    table = Table("what", "measured", "aim or ratio", title="Tracker")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = os.environ["BITTENSOR_RUNTIME_CACHE_DIR"] = folder
        await snapshots(table)
        await analyses(table, count, Path(folder))
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--snapshots", type=int, default=1000, help="stored snapshots to analyse")
    asyncio.run(main(parser.parse_args().snapshots))
