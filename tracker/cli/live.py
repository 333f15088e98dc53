"""Commands that follow the chain over time: backfill, report, watch, health."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from tracker import files
from tracker.chain.connect import connect
from tracker.cli.common import (
    DEFAULTS,
    Common,
    err,
    first_block_of,
    network_of,
    open_store,
    out,
    print_json,
    progress,
    utc_now,
)
from tracker.cli.watching import watched_of
from tracker.errors import ExitCode, NotEnoughSnapshotsError, RefusedByPolicyError, TrackerError
from tracker.history import Backfill, backfill
from tracker.model import BLOCKS_PER_DAY, Snapshot
from tracker.scan import ScanOptions, take_snapshot
from tracker.store.database import open_engine, shown_place
from tracker.store.query import Range
from tracker.store.store import Store
from tracker.watched import Watched

live = App()
_Hotkeys = Annotated[tuple[str, ...], Parameter(name=["--hotkey", "--hotkeys"], negative="")]


@live.command(name="backfill")
async def backfill_command(
    *,
    common: Common = DEFAULTS,
    since: datetime | None = None,
    days: float | None = None,
    first_block: int | None = None,
    last_block: int | None = None,
    every_blocks: int = BLOCKS_PER_DAY,
    pace_seconds: float | None = None,
) -> int:
    """Fill the past from an archive, one snapshot every so many blocks; run it again to resume.

    Args:
        since: start at this time (UTC if it has no offset).
        days: or this many days back.
        first_block: or at this block.
        last_block: stop at this block; by default at the finalized head.
        every_blocks: distance between snapshots.
        pace_seconds: pause after each, for archives that count requests; by default TRACKER_PACE_SECONDS.
    """
    settings = common.settings
    async with connect(common.endpoint) as reader, open_engine(settings.store_place) as engine:
        store = Store(engine)
        last = last_block if last_block is not None else (await reader.finalized()).number
        first = await first_block_of(reader, since, days, first_block)
        there = {block for network, block in await store.blocks() if network == reader.network}
        wanted = [block for block in range(first, last + 1, every_blocks) if block not in there]

        async def keep(taken: Snapshot) -> bool:
            await asyncio.to_thread(files.write, taken, settings.dir)
            return await store.add(taken)

        with progress("backfilling") as bar:
            task = bar.add_task("", total=len(wanted))
            new = await backfill(
                reader,
                Backfill(wanted, settings.pace_seconds if pace_seconds is None else pace_seconds),
                keep,
                now=utc_now,
                options=ScanOptions(chunk_keys=settings.chunk_keys),
                progress=lambda done, of: bar.update(task, completed=done, total=of),
            )
    out().print(f"{new} new snapshots from block {first:,} to {last:,}, {len(there)} were there")
    return ExitCode.OK


@live.command(name="report")
async def report_command(
    *,
    common: Common = DEFAULTS,
    output: Path = Path("report.html"),
    plots: Path | None = None,
    netuid: int | None = None,
    hotkey: _Hotkeys = (),
) -> int:
    """Write one self-contained page about competition; add my neurons at risk by naming them.

    Args:
        output: the page.
        plots: write PNG plots into this folder, too.
        netuid: subnet of my neurons; by default every one in which they sit.
        hotkey: my hotkeys; by default those of TRACKER_HOTKEYS.
    """
    from tracker.report.data import gather  # noqa: PLC0415 - matplotlib loads with plots only
    from tracker.report.page import render  # noqa: PLC0415

    settings = common.settings
    mine = hotkey or settings.hotkeys
    watched: Watched | None = None
    if mine:
        async with connect(common.endpoint) as reader:
            watched = await watched_of(reader, common, mine, netuid)
    async with open_store(settings) as (engine, store):
        network = await network_of(store, settings, common.network)
        data = await gather(engine, Range(network), now=utc_now(), watched=watched)
    await asyncio.to_thread(output.write_text, render(data), encoding="utf-8")
    written = [output]
    if plots is not None:
        from tracker.report.plots import write_plots  # noqa: PLC0415

        written += await asyncio.to_thread(write_plots, data, plots)
    for path in written:
        out().print(str(path), highlight=False, soft_wrap=True)
    return ExitCode.OK


@live.command(name="watch")
async def watch_command(
    *,
    common: Common = DEFAULTS,
    every_minutes: float = 60.0,
    netuid: int | None = None,
    hotkey: _Hotkeys = (),
    warn_position: int = 10,
    runs: int = 0,
) -> int:
    """Take a snapshot again and again, and warn when one of my neurons comes close to being replaced.

    Args:
        every_minutes: distance between snapshots.
        netuid: subnet of my neurons; by default every one in which they sit.
        hotkey: my hotkeys; by default those of TRACKER_HOTKEYS.
        warn_position: warn from this place in the pruning order on.
        runs: stop after so many; 0 runs until stopped.
    """
    done = 0
    while True:
        started = asyncio.get_running_loop().time()
        try:
            await _watch_once(common, netuid, hotkey or common.settings.hotkeys, warn_position)
        except RefusedByPolicyError as refusal:
            err().print(f"tracker: {refusal}", style="red", markup=False)
            await asyncio.sleep(refusal.retry_after_seconds or 0)
        except TrackerError as error:  # a missed run must not end the watch
            err().print(f"tracker: {error}", style="red", markup=False)
        done += 1
        if runs and done >= runs:
            return ExitCode.OK
        await asyncio.sleep(max(0.0, started + 60 * every_minutes - asyncio.get_running_loop().time()))


async def _watch_once(common: Common, netuid: int | None, hotkeys: tuple[str, ...], warn_position: int) -> None:
    settings = common.settings
    async with connect(common.endpoint) as reader:
        taken = await take_snapshot(reader, now=utc_now, options=ScanOptions(chunk_keys=settings.chunk_keys))
        await asyncio.to_thread(files.write, taken, settings.dir)
        async with open_engine(settings.store_place) as engine:
            await Store(engine).add(taken)
        out().print(f"{taken.timestamp:%Y-%m-%d %H:%M} block {taken.block:,}: {taken.count:,} neurons")
        if not hotkeys:
            return
        watched = await watched_of(reader, common, hotkeys, netuid)
    for risk in watched.risks:
        if risk.position is not None and risk.position <= warn_position:
            out().print(
                f"WARNING subnet {risk.netuid} uid {risk.uid}: {risk.position} of {risk.of} to be replaced",
                style="bold red",
            )
    if not watched.risks:
        out().print("WARNING none of my hotkeys holds a seat", style="bold red")


@live.command(name="health")
async def health_command(*, common: Common = DEFAULTS, interval_minutes: float = 60.0) -> int:
    """Say how old the newest snapshot is; exit code 9 when it is older than two intervals.

    Args:
        interval_minutes: distance between snapshots.
    """
    settings = common.settings
    async with open_engine(settings.store_place) as engine:
        newest = await Store(engine).newest()
    if newest is None:
        raise NotEnoughSnapshotsError(f"no snapshot in {shown_place(settings.store_place)}: run `tracker snapshot`")
    network, block, moment = newest
    age_minutes = (utc_now() - moment).total_seconds() / 60
    is_stale = age_minutes > 2 * interval_minutes
    if common.json:
        print_json({"network": network, "block": block, "age_minutes": age_minutes, "stale": is_stale})
    else:
        word = "STALE: " if is_stale else ""
        out().print(f"{word}block {block:,} of {network} is {age_minutes:.0f} minutes old", highlight=False)
    return ExitCode.STALE if is_stale else ExitCode.OK
