"""What a snapshot and an analysis cost beside the plain way, in one run: `make bench ROOM=tracker`.

The plain way of a snapshot is a metagraph per subnet, one after the other; that of an analysis is a loop over files.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import orjson
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.bench.tracker.history import history
from tests.support.chains import NETWORK
from tracker import files
from tracker.ranking import SortBy, rank_snapshots
from tracker.store.database import open_engine
from tracker.store.query import Range, rank
from tracker.store.store import Store

LATENCY_MS = 50


@contextmanager
def node() -> Iterator[str]:
    """A simulated node of the main network's size as a process of its own, whose work is not ours."""
    command = [sys.executable, "-u", "-m", "lab.chain", "--port", "0", "--scenario", "full"]
    with subprocess.Popen([*command, "--delay-ms", str(LATENCY_MS)], stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("the node has no output")
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def page(url: str, name: str) -> Any:
    """A page of the simulated node."""
    with urllib.request.urlopen(url.replace("ws://", "http://") + name, timeout=60) as answer:
        return orjson.loads(answer.read())


async def timed(url: str, call: Callable[[], Awaitable[object]]) -> tuple[float, int]:
    """Seconds and calls of one piece of work."""
    await asyncio.to_thread(page, url, "/_reset")
    started = time.perf_counter()
    await call()
    seconds = time.perf_counter() - started
    return seconds, len(await asyncio.to_thread(page, url, "/_log"))


async def snapshots(table: Table) -> None:
    import bittensor

    from tracker.chain.connect import Endpoint, connect
    from tracker.scan import take_snapshot

    with node() as url:
        async with connect(Endpoint(url)) as reader:

            async def ours() -> None:
                await take_snapshot(reader, now=lambda: datetime.now(UTC))

            await ours()  # the node encodes its state at the first question
            runs = [await timed(url, ours) for _ in range(5)]
        client = bittensor.Client(url, fallback_endpoints=[], archive_endpoints=[])
        await client.connect()
        block = (await asyncio.to_thread(page, url, "/_chain"))["finalized"]

        async def plain() -> None:
            view = await client.at(block)
            for netuid in range(129):
                await view.subnets.metagraph(netuid)

        theirs = await timed(url, plain)
        await client.close()
    seconds, calls = median(run[0] for run in runs), runs[0][1]
    table.add_row("snapshot of 129 subnets, 50 ms latency", f"{seconds:.2f} s, {calls} calls", "<= 2 s, <= 40 calls")
    table.add_row("  a metagraph per subnet", f"{theirs[0]:.2f} s, {theirs[1]} calls", f"{theirs[0] / seconds:.1f} x")


async def analyses(table: Table, count: int, folder: Path) -> None:
    async with open_engine(str(folder / "history.db")) as engine:
        store = Store(engine)
        kept, taking_in = [], []
        every = max(1, count // 20)
        for number, taken in enumerate(track(history(count), f"making {count} snapshots", total=count)):
            started = time.perf_counter()
            await store.add(taken)
            taking_in.append(time.perf_counter() - started)
            if number % every == 0:
                kept.append(files.write(taken, folder / "files")[0])
        runs = []
        for _ in range(9):
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
    table.add_row("taking one snapshot into the store", f"{median(taking_in) * 1000:.0f} ms", "")


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
