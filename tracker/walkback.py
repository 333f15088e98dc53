"""Counts registrations exactly, by walking back from a snapshot through registration blocks (spec: tracker 5.3).

A seat that was registered at block r after the start of the range had another occupant at r - 1; if that one came after
the start, too, the walk goes on. Each step finds one registration with its block and the price that was paid. Needs an
endpoint that still has the state of those blocks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tracker.chain.reader import ChainReader
from tracker.classify import Certainty
from tracker.errors import IncompleteSnapshotError
from tracker.model import ROOT_NETUID, Snapshot
from tracker.scan import NO_ACCOUNT, gathered, sizes_of

_PALLET: Final = "SubtensorModule"


@dataclass(frozen=True)
class Registration:
    """One neuron's arrival: when, where, who, and the price before it in rao (None for root, which has none).

    `hotkey` is the newest one of the occupancy in the range: a swap keeps the seat and its registration block.
    `replaced` is the hotkey that sat there just before; None where the seat was free.
    """

    netuid: int
    uid: int
    hotkey: str
    block: int
    price_rao: int | None
    replaced: str | None = None


@dataclass(frozen=True)
class Walk:
    """Every registration after one block up to another, by subnet.

    `shrunk` names subnets that had more neurons at some block of the walk than at its end: a trim renumbers seats and
    may hide a registration, so their counts are lower bounds.
    """

    after_block: int
    until_block: int
    registrations: tuple[Registration, ...]
    shrunk: frozenset[int]

    def counts(self) -> dict[int, int]:
        """Registrations by netuid."""
        result: dict[int, int] = {}
        for one in self.registrations:
            result[one.netuid] = result.get(one.netuid, 0) + 1
        return result

    def certainty(self, netuid: int) -> Certainty:
        return Certainty.LOWER_BOUND if netuid in self.shrunk else Certainty.EXACT


@dataclass(frozen=True)
class _Seat:
    netuid: int
    uid: int
    hotkey: str


@dataclass(frozen=True)
class _Step:
    """What one block told: arrivals at it, seats to follow further back, and the sizes of its subnets."""

    arrivals: list[Registration]
    earlier: dict[int, list[_Seat]]
    sizes: dict[int, int]


async def walk_back(
    reader: ChainReader,
    newest: Snapshot,
    after_block: int,
    *,
    concurrency: int = 16,
    pace_seconds: float = 0.0,
    progress: Callable[[int, int], None] = lambda _done, _open: None,
) -> Walk:
    """Every registration in the blocks after `after_block` up to the snapshot's.

    Args:
        newest: a snapshot with registration blocks.
        concurrency: blocks read at once.
        pace_seconds: pause after each block, for archives that count requests.
        progress: called with the blocks read so far and those known to remain.

    Raises:
        TrackerError: a block could not be read, or not whole; nothing is claimed then.
    """
    limit = asyncio.Semaphore(concurrency)
    births = {netuid: subnet.registered_at or 0 for netuid, subnet in newest.subnets.items()}
    frontier = _late_arrivals(newest, after_block)
    found: list[Registration] = []
    shrunk: set[int] = set()
    done = 0

    async def visit(block: int, seats: Sequence[_Seat]) -> _Step:
        async with limit:
            step = await _step_back(reader, block, seats, births, after_block)
            await asyncio.sleep(pace_seconds)
            return step

    while frontier:
        steps = await gathered([visit(block, seats) for block, seats in sorted(frontier.items())])
        done += len(steps)
        frontier = _merged(step.earlier for step in steps)
        for step in steps:
            found += step.arrivals
            shrunk |= {netuid for netuid, size in step.sizes.items() if size > newest.subnets[netuid].count}
        progress(done, len(frontier))
    arrivals = tuple(sorted(found, key=lambda one: (one.block, one.netuid, one.uid)))
    return Walk(after_block, newest.block, arrivals, frozenset(shrunk | await _shrunk(reader, newest, after_block)))


def _merged(parts: Iterable[dict[int, list[_Seat]]]) -> dict[int, list[_Seat]]:
    merged: dict[int, list[_Seat]] = {}
    for part in parts:
        for block, seats in part.items():
            merged.setdefault(block, []).extend(seats)
    return merged


def _late_arrivals(newest: Snapshot, after_block: int) -> dict[int, list[_Seat]]:
    """Seats by the block at which they were taken, where that is after the start."""
    frontier: dict[int, list[_Seat]] = {}
    for netuid, subnet in newest.subnets.items():
        for uid, block in subnet.registered.items():
            if block > after_block:
                frontier.setdefault(block, []).append(_Seat(netuid, uid, subnet.hotkeys[uid]))
    return frontier


async def _step_back(
    reader: ChainReader, block: int, seats: Sequence[_Seat], births: Mapping[int, int], after_block: int
) -> _Step:
    """Record the arrivals at a block and look one block earlier for who sat there before."""
    older = [seat for seat in seats if block - 1 >= births[seat.netuid]]
    if not older:
        return _Step([_arrival(seat, block, None, None) for seat in seats], {}, {})
    at = await reader.block(block - 1)
    netuids = sorted({seat.netuid for seat in older})
    places = [(seat.netuid, seat.uid) for seat in older]
    counts = sizes_of(netuids, await reader.per_subnet(f"{_PALLET}.SubnetworkN", netuids, at), at)
    prices = dict(zip(netuids, await reader.per_subnet(f"{_PALLET}.Burn", netuids, at), strict=True))
    hotkeys = await reader.hotkeys(places, at)
    registered = await reader.registrations(places, at)
    earlier: dict[int, list[_Seat]] = {}
    sat: dict[tuple[int, int], str] = {}
    for (netuid, uid), hotkey, taken_at in zip(places, hotkeys, registered, strict=True):
        if uid < counts[netuid]:
            if hotkey == NO_ACCOUNT:
                raise IncompleteSnapshotError(f"subnet {netuid} uid {uid} has no hotkey at block {at.number}")
            sat[netuid, uid] = hotkey
            if taken_at > after_block:
                earlier.setdefault(taken_at, []).append(_Seat(netuid, uid, hotkey))
    arrivals = [_arrival(seat, block, prices.get(seat.netuid), sat.get((seat.netuid, seat.uid))) for seat in seats]
    return _Step(arrivals, earlier, counts)


def _arrival(seat: _Seat, block: int, price: object, replaced: str | None) -> Registration:
    paid = None if price is None or seat.netuid == ROOT_NETUID else int(str(price))
    return Registration(seat.netuid, seat.uid, seat.hotkey, block, paid, replaced)


async def _shrunk(reader: ChainReader, newest: Snapshot, after_block: int) -> set[int]:
    """Subnets that were larger at the start of the range than at its end."""
    netuids = sorted(netuid for netuid, subnet in newest.subnets.items() if (subnet.registered_at or 0) <= after_block)
    if not netuids or after_block >= newest.block:
        return set()
    at = await reader.block(after_block)
    sizes = sizes_of(netuids, await reader.per_subnet(f"{_PALLET}.SubnetworkN", netuids, at), at)
    return {netuid for netuid, size in sizes.items() if size > newest.subnets[netuid].count}
