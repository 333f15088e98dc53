"""Reads how my neurons stand, and their subnets, at one block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tracker.chain.reader import Block, ChainReader
from tracker.risk import Risk, risk_of, seats_of
from tracker.scan import ScanOptions, take_snapshot
from tracker.standing import read_standing, read_subnet_standings
from tracker.subnet_risk import SubnetRisk, subnet_risk_of


@dataclass(frozen=True)
class Watched:
    """My neurons and their subnets at one block; both empty where none of my hotkeys holds a seat."""

    block: int
    risks: tuple[Risk, ...] = ()
    subnets: tuple[SubnetRisk, ...] = ()


async def read_watched(
    reader: ChainReader,
    hotkeys: Sequence[str],
    rates: Mapping[int, float],
    *,
    now: Callable[[], datetime],
    netuid: int | None = None,
    options: ScanOptions | None = None,
) -> Watched:
    """The risk of my neurons in one subnet, or in every subnet in which they sit.

    Args:
        rates: registrations a day by netuid, as far as they are known.

    Raises:
        TrackerError: the chain could not be read.
    """
    if netuid is None:
        taken = await take_snapshot(reader, now=now, options=options)
        at, netuids = Block(taken.block, str(taken.block_hash)), seats_of(hotkeys, taken)
    else:
        at, netuids = await reader.finalized(), [netuid]
    risks: list[Risk] = []
    for number in netuids:
        standing = await read_standing(reader, number, at)
        risks += risk_of(standing, hotkeys, rates.get(number))
    if not risks:
        return Watched(at.number)
    standings = await read_subnet_standings(reader, at)
    subnets = (subnet_risk_of(standings, number) for number in sorted({risk.netuid for risk in risks}))
    return Watched(at.number, tuple(risks), tuple(one for one in subnets if one is not None))
