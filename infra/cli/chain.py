"""What the chain says of the miner, for `headframe doctor --chain`: rule uid-single on one finalized block.

A chain that cannot be read is a warning. Nothing is ever written to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from infra.cli.doctor import Check, Verdict
from policies.rules.catalogue import UID_SINGLE
from policies.rules.model import Level
from policies.rules.registration import ChainView, uid_single
from tracker.chain.connect import Endpoint, connect
from tracker.chain.reader import Block, ChainReader
from tracker.errors import TrackerError

_READ_SECONDS: Final = 90.0
_VERDICTS: Final = {Level.ADVISORY: Verdict.WARN, Level.MANDATORY: Verdict.FAIL}
_SEATS: Final = "SubtensorModule.SubnetworkN"


def uid_checks(hotkey_ss58: str, netuid: int, network: str) -> list[Check]:
    """The rule's findings as checks."""
    view, problem = asyncio.run(look(hotkey_ss58, netuid, network))
    found = [
        Check(UID_SINGLE.name, _VERDICTS[finding.level], finding.seen, finding.fix) for finding in uid_single(view)
    ]
    if problem:
        return [Check(UID_SINGLE.name, Verdict.WARN, f"the chain could not be read: {problem}", "try again later")]
    return found or [Check(UID_SINGLE.name, Verdict.OK, f"UID {view.uids[0] if view.uids else '?'} on subnet {netuid}")]


async def look(hotkey_ss58: str, netuid: int, network: str) -> tuple[ChainView, str]:
    """One view of the chain, and why it knows nothing if so."""
    try:
        async with asyncio.timeout(_READ_SECONDS), connect(Endpoint(network)) as reader:
            return await view_of(reader, hotkey_ss58, netuid), ""
    except TimeoutError:
        return ChainView(hotkey_ss58=hotkey_ss58, netuid=netuid), f"no answer within {_READ_SECONDS:.0f} s"
    except TrackerError as error:
        return ChainView(hotkey_ss58=hotkey_ss58, netuid=netuid), str(error)


@dataclass(frozen=True)
class Seats:
    """UIDs on one subnet: those of a hotkey, and those of a coldkey's other hotkeys."""

    of_hotkey: tuple[int, ...] = ()
    of_coldkey: tuple[int, ...] = ()


async def look_for_seats(hotkey_ss58: str, coldkey_ss58: str, netuid: int, network: str) -> tuple[Seats, str]:
    """The seats on one finalized block, and why nothing is known if so."""
    try:
        async with asyncio.timeout(_READ_SECONDS), connect(Endpoint(network)) as reader:
            at = await reader.finalized()
            hotkeys = await _hotkeys(reader, netuid, at)
            owners = await reader.coldkeys(hotkeys, at) if hotkeys else []
    except TimeoutError:
        return Seats(), f"no answer within {_READ_SECONDS:.0f} s"
    except TrackerError as error:
        return Seats(), str(error)
    mine = tuple(uid for uid, hotkey in enumerate(hotkeys) if hotkey == hotkey_ss58)
    others = tuple(uid for uid, owner in enumerate(owners) if owner == coldkey_ss58 and uid not in mine)
    return Seats(mine, others), ""


async def view_of(reader: ChainReader, hotkey_ss58: str, netuid: int) -> ChainView:
    """The hotkey's seats on a subnet, and those of its coldkey's other hotkeys.

    Raises:
        tracker.errors.TrackerError: the chain could not be read.
    """
    at = await reader.finalized()
    hotkeys = await _hotkeys(reader, netuid, at)
    uids = tuple(uid for uid, hotkey in enumerate(hotkeys) if hotkey == hotkey_ss58)
    others = await _others(reader, hotkeys, hotkey_ss58, at) if uids else ()
    return ChainView(hotkey_ss58=hotkey_ss58, netuid=netuid, uids=uids, other_uids=others)


async def _hotkeys(reader: ChainReader, netuid: int, at: Block) -> list[str]:
    count = (await reader.per_subnet(_SEATS, [netuid], at))[0]
    seats = [(netuid, uid) for uid in range(count if isinstance(count, int) else 0)]
    return list(await reader.hotkeys(seats, at)) if seats else []


async def _others(reader: ChainReader, hotkeys: Sequence[str], ours: str, at: Block) -> tuple[int, ...]:
    owners = await reader.coldkeys(hotkeys, at)
    owner = owners[hotkeys.index(ours)]
    seats = zip(hotkeys, owners, strict=True)
    return tuple(uid for uid, (hotkey, coldkey) in enumerate(seats) if coldkey == owner and hotkey != ours)
