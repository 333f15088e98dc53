"""Commands that follow the chain over time: backfill, risk, report, watch."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from tracker import files, show
from tracker.chain.connect import connect
from tracker.chain.reader import ChainReader
from tracker.cli.common import DEFAULTS, Common, err, network_of, open_store, out, print_json, progress, utc_now
from tracker.errors import ExitCode, RefusedByPolicyError, TrackerError
from tracker.history import Backfill, backfill, block_at
from tracker.model import BLOCKS_PER_DAY, Snapshot
from tracker.ranking import SortBy
from tracker.risk import Risk, is_order_known, risk_of
from tracker.scan import ScanOptions, take_snapshot
from tracker.standing import read_standing
from tracker.store.database import open_engine
from tracker.store.query import Range, rank
from tracker.store.store import Store

live = App()
_Hotkeys = Annotated[tuple[str, ...], Parameter(name=["--hotkey", "--hotkeys"])]


@live.command(name="backfill")
async def backfill_command(
    *,
    common: Common = DEFAULTS,
    since: datetime | None = None,
    days: float | None = None,
    first_block: int | None = None,
    last_block: int | None = None,
    every_blocks: int = BLOCKS_PER_DAY,
    pace_seconds: float = 0.0,
) -> int:
    """Fill the past from an archive, one snapshot every so many blocks; run it again to resume.

    Args:
        since: start at this time (UTC if it has no offset).
        days: or this many days back.
        first_block: or at this block.
        last_block: stop at this block; by default at the finalized head.
        every_blocks: distance between snapshots.
        pace_seconds: pause after each, for archives that count requests.
    """
    settings = common.settings
    async with connect(common.endpoint) as reader, open_engine(settings.store_place) as engine:
        store = Store(engine)
        last = last_block if last_block is not None else (await reader.finalized()).number
        first = await _first_block(reader, since, days, first_block)
        there = {block for network, block in await store.blocks() if network == reader.network}
        wanted = [block for block in range(first, last + 1, every_blocks) if block not in there]

        async def keep(taken: Snapshot) -> bool:
            await asyncio.to_thread(files.write, taken, settings.dir)
            return await store.add(taken)

        with progress("backfilling") as bar:
            task = bar.add_task("", total=len(wanted))
            new = await backfill(
                reader,
                Backfill(wanted, pace_seconds),
                keep,
                now=utc_now,
                options=ScanOptions(chunk_keys=settings.chunk_keys),
                progress=lambda done, of: bar.update(task, completed=done, total=of),
            )
    out().print(f"{new} new snapshots from block {first:,} to {last:,}, {len(there)} were there")
    return ExitCode.OK


async def _first_block(reader: ChainReader, since: datetime | None, days: float | None, first_block: int | None) -> int:
    given = [option for option in (since, days, first_block) if option is not None]
    if len(given) != 1:
        raise ValueError("say where to start with exactly one of --since, --days, --first-block")
    if first_block is not None:
        return first_block
    moment = files.parse_time(since.isoformat()) if since is not None else utc_now() - timedelta(days=days or 0)
    return await block_at(reader, moment)


@live.command(name="risk")
async def risk_command(netuid: int, *, hotkey: _Hotkeys = (), common: Common = DEFAULTS) -> int:
    """How close my neurons are to being replaced.

    Args:
        netuid: the subnet.
        hotkey: my hotkeys; by default those of TRACKER_HOTKEYS.
    """
    async with connect(common.endpoint) as reader:
        risks = await _risks(reader, netuid, hotkey or common.settings.hotkeys, await _rate(common, netuid))
    if common.json:
        print_json([vars(one) for one in risks])
    else:
        out().print(show.risk_table(risks))
    if not risks:
        err().print(f"none of these hotkeys holds a seat in subnet {netuid}", style="yellow")
    return ExitCode.OK if risks else ExitCode.FAILED


async def _risks(reader: ChainReader, netuid: int, hotkeys: tuple[str, ...], rate: float | None) -> list[Risk]:
    if not hotkeys:
        raise ValueError("name a hotkey to watch: --hotkey ADDRESS, or set TRACKER_HOTKEYS")
    standing = await read_standing(reader, netuid, await reader.finalized())
    if not is_order_known(standing.spec_version):
        raise TrackerError(f"the pruning rule of runtime {standing.spec_version} is not known: no order is claimed")
    return risk_of(standing, hotkeys, rate)


async def _rate(common: Common, netuid: int) -> float | None:
    """Registrations a day that the store proves; None where it cannot say."""
    settings = common.settings
    try:
        async with open_store(settings) as (engine, store):
            network = await network_of(store, settings, common.network)
            ranking = await rank(engine, Range(network), SortBy.CHANGES, include_root=True)
    except TrackerError:
        return None
    row = next((one for one in ranking.rows if one.netuid == netuid and one.blocks), None)
    return row.per_day(row.counts.true_registrations) if row and row.corrected else None


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
        netuid: subnet of my neurons.
        hotkey: my hotkeys; by default those of TRACKER_HOTKEYS.
    """
    from tracker.report.data import gather  # noqa: PLC0415 - matplotlib loads with plots only
    from tracker.report.page import render  # noqa: PLC0415

    settings = common.settings
    mine = hotkey or settings.hotkeys
    risks: tuple[Risk, ...] | None = None
    if netuid is not None and mine:
        async with connect(common.endpoint) as reader:
            risks = tuple(await _risks(reader, netuid, mine, await _rate(common, netuid)))
    async with open_store(settings) as (engine, store):
        network = await network_of(store, settings, common.network)
        data = await gather(engine, Range(network), now=utc_now(), risks=risks)
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
        netuid: subnet of my neurons.
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
        if netuid is None or not hotkeys:
            return
        for risk in await _risks(reader, netuid, hotkeys, await _rate(common, netuid)):
            if risk.position is not None and risk.position <= warn_position:
                out().print(
                    f"WARNING subnet {risk.netuid} uid {risk.uid}: {risk.position} of {risk.of} to be replaced",
                    style="bold red",
                )
