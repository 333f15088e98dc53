"""Commands about the seats of a subnet: who is pushed out, who came, who holds them, how long they stay."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated

from cyclopts import App, Parameter

from tracker import show_seats as show
from tracker.arrivals import Arrivals, read_arrivals
from tracker.chain.connect import connect
from tracker.chain.reader import Block, ChainReader
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
from tracker.errors import ExitCode, UnknownSubnetError
from tracker.makeup import makeup, makeup_change
from tracker.scan import ScanOptions, take_snapshot
from tracker.standing import read_holders, read_standing
from tracker.store.details import lives
from tracker.tenure import survival
from tracker.walkback import walk_back
from tracker.watched import Watched

seats_app = App()
_Hotkeys = Annotated[tuple[str, ...], Parameter(name=["--hotkey", "--hotkeys"], negative="")]
#: Tenure passes over ages at which fewer neurons were watched.
_LEAST_AT_RISK = 5


@seats_app.command
async def risk(netuid: int | None = None, *, hotkey: _Hotkeys = (), common: Common = DEFAULTS) -> int:
    """How close my neurons are to being replaced, and their subnets to being dissolved.

    Args:
        netuid: one subnet; by default every subnet in which my hotkeys sit.
        hotkey: my hotkeys; by default those of TRACKER_HOTKEYS.
    """
    async with connect(common.endpoint) as reader:
        found = await watched_of(reader, common, hotkey, netuid)
    if common.json:
        subnets = {one.netuid: asdict(one) for one in found.subnets}
        print_json([vars(one) | {"subnet": subnets.get(one.netuid)} for one in found.risks])
    else:
        out().print(show.risk_table(found.risks))
        out().print(show.subnet_risk_table(found.subnets))
    if not found.risks:
        _say_absent(found, netuid)
    return ExitCode.OK if found.risks else ExitCode.FAILED


def _say_absent(found: Watched, netuid: int | None) -> None:
    where = "any subnet" if netuid is None else f"subnet {netuid}"
    err().print(f"none of these hotkeys holds a seat in {where} at block {found.block:,}", style="yellow")


@seats_app.command
async def arrivals(
    netuid: int,
    *,
    common: Common = DEFAULTS,
    days: float | None = None,
    first_block: int | None = None,
    last_block: int | None = None,
    top: int = 0,
) -> int:
    """Every registration of a range: who came, whose seat it was, at what price, and how many replaced their own.

    Counted by walking back through the chain, so older ranges need an archive: --archive URL.

    Args:
        netuid: the subnet.
        days: so many days back.
        first_block: or from this block on.
        last_block: up to this block; by default the finalized head.
        top: newest rows to show; 0 shows all.
    """
    async with connect(common.endpoint) as reader:
        start = await first_block_of(reader, None, days, first_block)
        found = await _arrivals(reader, common, netuid, start, last_block)
    if common.json:
        print_json(show.arrivals_json(found))
    else:
        out().print(show.arrivals_table(found, top))
    return ExitCode.OK


async def _arrivals(
    reader: ChainReader, common: Common, netuid: int, first_block: int, last_block: int | None
) -> Arrivals:
    options = ScanOptions(chunk_keys=common.settings.chunk_keys)
    newest = await take_snapshot(reader, now=utc_now, options=options, number=last_block)
    if netuid not in newest.subnets:
        raise UnknownSubnetError(f"no such subnet at block {newest.block}: {netuid}; `tracker cost` lists all")
    alone = replace(newest, subnets={netuid: newest.subnets[netuid]})
    with progress("walking back") as bar:
        task = bar.add_task("", total=None)
        walk = await walk_back(
            reader,
            alone,
            first_block,
            pace_seconds=common.settings.pace_seconds,
            progress=lambda done, left: bar.update(task, completed=done, total=done + left),
        )
    end = Block(newest.block, str(newest.block_hash))
    return await read_arrivals(reader, walk, netuid, await reader.block(first_block), end)


@seats_app.command(name="subnet")
async def subnet_command(netuid: int, *, common: Common = DEFAULTS, days: float | None = None) -> int:
    """What a subnet is made of: validators and miners, emission by age, holders, days to earn a seat back.

    Args:
        netuid: the subnet.
        days: also say who entered and left as validator or miner in so many days; needs an archive.
    """
    async with connect(common.endpoint) as reader:
        at = await reader.finalized()
        now = await read_standing(reader, netuid, at)
        holders = await read_holders(reader, now, at)
        change = None
        if days is not None:
            then = await reader.block(await first_block_of(reader, None, days, None))
            change = makeup_change(await read_standing(reader, netuid, then), now)
    made = makeup(now)
    if common.json:
        print_json(
            {
                **asdict(made),
                "young_emission": {str(age): share for age, share in made.young_emission.items()},
                "holders": asdict(holders),
                "change": None if change is None else asdict(change),
                "certainty": "exact",
            }
        )
    else:
        for table in show.makeup_tables(made, change):
            out().print(table)
        out().print(show.holders_table(holders))
    return ExitCode.OK


@seats_app.command
async def holders(netuid: int, *, common: Common = DEFAULTS) -> int:
    """How concentrated a subnet is by coldkey, by seats and by emission.

    Args:
        netuid: the subnet.
    """
    async with connect(common.endpoint) as reader:
        at = await reader.finalized()
        found = await read_holders(reader, await read_standing(reader, netuid, at), at)
    if common.json:
        print_json(asdict(found))
    else:
        out().print(show.holders_table(found))
    return ExitCode.OK


@seats_app.command
async def tenure(
    netuid: Annotated[tuple[int, ...], Parameter(name=["netuid", "--netuid"], negative="")] = (),
    *,
    common: Common = DEFAULTS,
    immunity_blocks: int | None = None,
) -> int:
    """How long neurons stay, from the store; the longest-lived subnets first.

    Args:
        netuid: subnets; none means all of the newest snapshot.
        immunity_blocks: also say what share is lost in the day after an immunity of this length.
    """
    settings = common.settings
    async with open_store(settings) as (engine, store):
        network = await network_of(store, settings, common.network)
        newest = await store.get(network, max(block for name, block in await store.blocks() if name == network))
        curves = {
            number: survival(await lives(engine, network, number), _LEAST_AT_RISK)
            for number in (netuid or sorted(newest.subnets))
        }
    if common.json:
        print_json(show.tenure_json(curves, immunity_blocks))
    else:
        out().print(show.tenure_table(curves, immunity_blocks))
    return ExitCode.OK
