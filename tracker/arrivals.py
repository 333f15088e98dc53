"""Every arrival in one subnet: who came, whose seat it was, what it cost, and whether it was a seat of one's own.

Made from a walk back, so exact unless the subnet shrank on the way (spec: tracker 5.3, 5.5). A coldkey is looked up at
the end of the range; the chain keeps the owner of a hotkey that has no seat any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tracker.chain.reader import Block, ChainReader
from tracker.classify import Certainty
from tracker.model import BLOCKS_PER_DAY
from tracker.scan import both
from tracker.walkback import Registration, Walk


@dataclass(frozen=True)
class Arrival:
    """One registration with the owners on both sides; `is_own` says that its coldkey already held a seat there."""

    block: int
    uid: int
    hotkey: str
    coldkey: str
    price_rao: int | None
    replaced: str | None
    replaced_coldkey: str | None
    is_own: bool


@dataclass(frozen=True)
class Arrivals:
    """All arrivals after one block up to another, oldest first, and what they add up to.

    Args:
        new_coldkeys: coldkeys that held no seat at the start and came in the range.
        spent_rao: sum of the prices before each arrival.
        judged: arrivals whose immunity ended in the range, and `outlived`, how many of them still sat there then.
    """

    netuid: int
    after_block: int
    until_block: int
    certainty: Certainty
    rows: tuple[Arrival, ...]
    new_coldkeys: int
    spent_rao: int
    judged: int
    outlived: int
    spent_on_judged_rao: int

    @property
    def days(self) -> float:
        return (self.until_block - self.after_block) / BLOCKS_PER_DAY

    @property
    def self_replacement_share(self) -> float | None:
        """Share of arrivals by a coldkey that held a seat at that moment; None without an arrival."""
        return sum(row.is_own for row in self.rows) / len(self.rows) if self.rows else None

    @property
    def rao_per_survivor(self) -> float | None:
        """What was spent for each seat that outlived its immunity; None where none did."""
        return self.spent_on_judged_rao / self.outlived if self.outlived else None

    def per_day(self, count: float) -> float:
        return count / self.days if self.days else 0.0


def summarise(
    walk: Walk, netuid: int, seats: Mapping[int, str], owners: Mapping[str, str], immunity_blocks: int
) -> Arrivals:
    """Arrivals of one subnet out of a walk.

    Args:
        seats: hotkey by uid at the start of the walk; empty if the subnet was not there.
        owners: coldkey by hotkey, for the seats and for everybody who came; a hotkey without one stands for itself.
    """
    registrations = [one for one in walk.registrations if one.netuid == netuid]
    holders = {uid: owners.get(hotkey, hotkey) for uid, hotkey in seats.items()}
    first = set(holders.values())
    rows = []
    for one in registrations:
        coldkey = owners.get(one.hotkey, one.hotkey)
        gone = None if one.replaced is None else owners.get(one.replaced, one.replaced)
        is_own = coldkey in holders.values()
        rows.append(Arrival(one.block, one.uid, one.hotkey, coldkey, one.price_rao, one.replaced, gone, is_own))
        holders[one.uid] = coldkey
    judged = [one for one in registrations if one.block + immunity_blocks <= walk.until_block]
    return Arrivals(
        netuid=netuid,
        after_block=walk.after_block,
        until_block=walk.until_block,
        certainty=walk.certainty(netuid),
        rows=tuple(rows),
        new_coldkeys=len({row.coldkey for row in rows} - first),
        spent_rao=sum(one.price_rao or 0 for one in registrations),
        judged=len(judged),
        outlived=sum(_outlived(one, registrations, immunity_blocks) for one in judged),
        spent_on_judged_rao=sum(one.price_rao or 0 for one in judged),
    )


def _outlived(one: Registration, registrations: Sequence[Registration], immunity_blocks: int) -> bool:
    end = one.block + immunity_blocks
    return not any(later.uid == one.uid and one.block < later.block <= end for later in registrations)


async def read_arrivals(reader: ChainReader, walk: Walk, netuid: int, start: Block, end: Block) -> Arrivals:
    """Arrivals of one subnet with their owners.

    Args:
        start: block after which the walk counted.
        end: block up to which it counted.

    Raises:
        TrackerError: the chain could not be read.
    """
    births, sizes = await both(
        reader.per_subnet("SubtensorModule.NetworkRegisteredAt", [netuid], end),
        reader.per_subnet("SubtensorModule.SubnetworkN", [netuid], start),
    )
    was_there = int(str(births[0] or 0)) <= start.number
    places = [(netuid, uid) for uid in range(int(str(sizes[0] or 0)) if was_there else 0)]
    seats = dict(zip((uid for _, uid in places), await reader.hotkeys(places, start) if places else [], strict=True))
    mine = [one for one in walk.registrations if one.netuid == netuid]
    names = [*seats.values(), *(one.hotkey for one in mine), *(one.replaced for one in mine if one.replaced)]
    hotkeys = list(dict.fromkeys(names))
    owners = dict(zip(hotkeys, await reader.coldkeys(hotkeys, end) if hotkeys else [], strict=True))
    (immunity,) = await reader.per_subnet("SubtensorModule.ImmunityPeriod", [netuid], end)
    return summarise(walk, netuid, seats, owners, int(str(immunity or 0)))
