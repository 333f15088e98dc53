"""The commands. Each returns its exit code; errors become one line on stderr and the code of their kind."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cyclopts import App

from tracker import files, show
from tracker.chain.connect import connect
from tracker.classify import compare as compare_pair
from tracker.cli.common import DEFAULTS, Common, err, network_of, open_store, out, print_json, progress, utc_now
from tracker.cli.costs import costs_app
from tracker.cli.live import live
from tracker.cli.seats import seats_app
from tracker.errors import ExitCode, StorageError, TrackerError
from tracker.exposition import write_metrics
from tracker.model import Snapshot
from tracker.ranking import Ranking, SortBy
from tracker.scan import ScanOptions, take_snapshot
from tracker.store.database import open_engine
from tracker.store.query import Range, rank
from tracker.store.store import Store
from tracker.walkback import Walk, walk_back

app = App(
    name="tracker",
    help="Who is pushed out of Bittensor's subnets, and what a seat costs.",
    result_action="return_value",
)
for part in (costs_app, seats_app, live):
    app.update(part)


@app.command
async def snapshot(*, common: Common = DEFAULTS, files_only: bool = False) -> int:
    """Take a snapshot of all subnets at the newest finalized block.

    Args:
        files_only: write the file and leave the store alone.
    """
    settings = common.settings
    async with connect(common.endpoint) as reader:
        taken = await take_snapshot(reader, now=utc_now, options=ScanOptions(chunk_keys=settings.chunk_keys))
    path, is_new = files.write(taken, settings.dir)
    stored = False
    if not files_only:
        async with open_engine(settings.store_place) as engine:
            stored = await Store(engine).add(taken)
    if settings.metrics_file is not None:
        write_metrics(settings.metrics_file, taken, settings.hotkeys)
    if common.json:
        print_json(_taken_json(taken, path, is_new=is_new or stored))
    else:
        word = "taken" if is_new or stored else "already there"
        out().print(f"block {taken.block:,} {word}: {len(taken.subnets)} subnets, {taken.count:,} neurons, {path}")
    return ExitCode.OK


def _taken_json(taken: Snapshot, path: Path, *, is_new: bool) -> dict[str, object]:
    return {
        "block": taken.block,
        "block_hash": taken.block_hash,
        "timestamp": taken.timestamp.isoformat(),
        "subnets": len(taken.subnets),
        "neurons": taken.count,
        "path": str(path),
        "new": is_new,
    }


@app.command
async def analyze(
    *,
    common: Common = DEFAULTS,
    sort_by: SortBy = SortBy.REPLACEMENTS,
    top: int = 20,
    include_root: bool = False,
    exact: bool = False,
    first_block: int | None = None,
    last_block: int | None = None,
) -> int:
    """Rank the subnets by how much they change.

    Args:
        sort_by: what to rank by.
        top: rows to show; 0 shows all.
        include_root: rank the root network, too.
        exact: count every registration by walking back through the chain; needs an archive for long ranges.
        first_block: first block of the range.
        last_block: last block of the range.
    """
    settings = common.settings
    async with open_store(settings) as (engine, store):
        network = await network_of(store, settings, common.network)
        ranking = await rank(engine, Range(network, first_block, last_block), sort_by, include_root=include_root)
        if exact:
            newest = await store.get(network, ranking.last_block)
            ranking = _with_exact(ranking, newest, await _walk(common, newest, ranking.first_block))
    if common.json:
        print_json(show.ranking_json(ranking))
    else:
        out().print(show.ranking_table(ranking, top))
    return ExitCode.OK


async def _walk(common: Common, newest: Snapshot, first_block: int) -> Walk:
    async with connect(common.endpoint) as reader:
        with progress("walking back") as bar:
            task = bar.add_task("", total=None)
            return await walk_back(
                reader,
                newest,
                first_block,
                progress=lambda done, left: bar.update(task, completed=done, total=done + left),
            )


def _with_exact(ranking: Ranking, newest: Snapshot, walk: Walk) -> Ranking:
    """Put exact counts where the walk vouches for them: subnets that live at its end and never shrank."""
    counts = walk.counts()
    lives = {netuid: subnet.registered_at for netuid, subnet in newest.subnets.items()}
    rows = tuple(
        replace(row, exact_registrations=counts.get(row.netuid, 0))
        if row.periods and row.netuid not in walk.shrunk and lives.get(row.netuid, -1) == row.registered_at
        else row
        for row in ranking.rows
    )
    return replace(ranking, rows=rows)


@app.command
def compare(snapshot1: Path, snapshot2: Path, *, top: int = 0, json: bool = False) -> int:
    """Compare two snapshot files, in either order.

    Args:
        snapshot1: one file.
        snapshot2: the other file.
        top: rows to show; 0 shows all.
        json: print JSON instead of a table.
    """
    first, second = files.read(snapshot1), files.read(snapshot2)
    if first.network != second.network:
        raise StorageError(f"snapshots of two networks cannot be compared: {first.network} and {second.network}")
    comparison = compare_pair(first, second)
    if json:
        print_json(show.comparison_json(comparison))
    else:
        out().print(show.comparison_table(comparison, top))
    return ExitCode.OK


@app.command(name="list")
async def list_snapshots(*, common: Common = DEFAULTS) -> int:
    """List the snapshots of folder and store."""
    async with open_store(common.settings) as (_, store):
        blocks = await store.blocks()
    if common.json:
        print_json([{"network": network, "block": block} for network, block in blocks])
    else:
        for network, block in blocks:
            out().print(f"{network}  {block}", highlight=False)
    return ExitCode.OK


@app.command
async def export(*, common: Common = DEFAULTS) -> int:
    """Write every snapshot of the store as a file; files that are there stay."""
    from tracker.history_files import write_out  # noqa: PLC0415 - keeps `tracker cost` free of it

    settings = common.settings
    async with open_engine(settings.store_place) as engine:
        with progress("writing files") as bar:
            task = bar.add_task("", total=None)
            new = await write_out(
                Store(engine), settings.dir, lambda done, of: bar.update(task, completed=done, total=of)
            )
    out().print(f"{new} new files in {settings.dir}")
    return ExitCode.OK


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and turn its errors into one line and an exit code."""
    return asyncio.run(answer(arguments))


async def answer(arguments: Sequence[str] | None = None) -> int:
    """The same within a running loop."""
    try:
        return int(await app.run_async(arguments) or 0)
    except TrackerError as error:
        err().print(f"tracker: {error}", style="red", markup=False, soft_wrap=True)
        return int(error.code)
    except ValueError as error:
        err().print(f"tracker: {error}", style="red", markup=False, soft_wrap=True)
        return int(ExitCode.USAGE)


def main() -> None:
    """The entry point of the `tracker` script."""
    sys.exit(run())
