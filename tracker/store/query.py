"""Analyses that the database does itself: rankings and price paths over any range of blocks. Reads only."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import ColumnElement, RowMapping, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tracker.classify import Counts
from tracker.errors import NotEnoughSnapshotsError
from tracker.ranking import Ranking, SortBy, SubnetTotals, order
from tracker.store import schema
from tracker.store.rows import from_microseconds
from tracker.store.schema import COUNTS, UNKNOWN_REGISTRATION, snapshot, subnet_at
from tracker.store.spans import sums


@dataclass(frozen=True)
class Range:
    """Blocks to look at, both ends included; None is open."""

    network: str
    first_block: int | None = None
    last_block: int | None = None


@dataclass(frozen=True)
class PricePoint:
    """What a registration cost at one snapshot."""

    block: int
    timestamp: datetime
    burn_rao: int


async def rank(engine: AsyncEngine, wanted: Range, by: SortBy, *, include_root: bool = False) -> Ranking:
    """The ranking of all snapshots in a range.

    Raises:
        NotEnoughSnapshotsError: fewer than two.
    """
    async with engine.connect() as connection:
        blocks = await _blocks(connection, wanted)
        if len(blocks) < 2:
            raise NotEnoughSnapshotsError(
                f"a ranking needs two snapshots of {wanted.network}, the store has {len(blocks)} in that range: "
                "run `tracker snapshot` again later"
            )
        added = await sums(connection, wanted.network, blocks[0], blocks[-1])
        first = await _subnets_at(connection, wanted.network, blocks[0])
        last = await _subnets_at(connection, wanted.network, blocks[-1])
    rows = [_totals(row) for row in added]
    ended = dict.fromkeys(first, blocks[0]) | {_key(row): int(row["last_block"]) for row in added}
    return Ranking(
        by=by,
        snapshots=len(blocks),
        first_block=blocks[0],
        last_block=blocks[-1],
        rows=order(rows + _never_compared(first | last, rows), by, include_root=include_root),
        dissolved=tuple(
            (netuid, blocks[bisect.bisect_right(blocks, block)])
            for (netuid, birth), block in sorted(ended.items(), key=_by_netuid)
            if (netuid, birth) not in last
        ),
        created=tuple(
            (key[0], int(row["first_block"]))
            for key, row in sorted(((_key(row), row) for row in added), key=_by_netuid)
            if key not in first
        ),
    )


async def price_path(engine: AsyncEngine, wanted: Range, netuid: int) -> list[PricePoint]:
    """Price of a registration at each snapshot of a range, oldest first."""
    query = (
        select(snapshot.c.block, snapshot.c.time_microseconds, subnet_at.c.burn_rao)
        .select_from(subnet_at)
        .join(schema.subnet, schema.subnet.c.id == subnet_at.c.subnet_id)
        .join(snapshot, and_(snapshot.c.network == schema.subnet.c.network, snapshot.c.block == subnet_at.c.at_block))
        .where(schema.subnet.c.netuid == netuid, subnet_at.c.burn_rao.is_not(None), *_limits(wanted))
        .order_by(snapshot.c.block)
    )
    async with engine.connect() as connection:
        found = await connection.execute(query)
        return [PricePoint(row.block, from_microseconds(row.time_microseconds), row.burn_rao) for row in found]


_Key = tuple[int, int | None]
_T = TypeVar("_T")


def _by_netuid(entry: tuple[_Key, _T]) -> tuple[int, int]:
    (netuid, birth), _ = entry
    return netuid, birth or 0


def _limits(wanted: Range) -> list[ColumnElement[bool]]:
    limits: list[ColumnElement[bool]] = [snapshot.c.network == wanted.network]
    if wanted.first_block is not None:
        limits.append(snapshot.c.block >= wanted.first_block)
    if wanted.last_block is not None:
        limits.append(snapshot.c.block <= wanted.last_block)
    return limits


async def _blocks(connection: AsyncConnection, wanted: Range) -> list[int]:
    query = select(snapshot.c.block).where(*_limits(wanted)).order_by(snapshot.c.block)
    return [block for (block,) in await connection.execute(query)]


def _totals(row: RowMapping) -> SubnetTotals:
    periods = int(row["periods"])
    return SubnetTotals(
        netuid=row["netuid"],
        registered_at=_birth(row["registered_at"]),
        periods=periods,
        blocks=int(row["blocks"] or 0),
        mean_count=int(row["twice_the_count"]) / (2 * periods) if periods else float(row["largest_count"]),
        counts=Counts(**{name: int(row[name]) for name in COUNTS}),
        corrected=periods > 0 and int(row["corrected"]) == periods,
    )


def _never_compared(ends: dict[_Key, int], rows: Sequence[SubnetTotals]) -> list[SubnetTotals]:
    """Subnets that stand in no two neighbouring snapshots of the range."""
    seen = {(row.netuid, row.registered_at) for row in rows}
    return [
        SubnetTotals(netuid, birth, 0, 0, float(count), Counts(), corrected=False)
        for (netuid, birth), count in ends.items()
        if (netuid, birth) not in seen
    ]


def _key(row: RowMapping) -> _Key:
    return row["netuid"], _birth(row["registered_at"])


def _birth(registered_at: int) -> int | None:
    return None if registered_at == UNKNOWN_REGISTRATION else registered_at


async def _subnets_at(connection: AsyncConnection, network: str, block: int) -> dict[_Key, int]:
    query = (
        select(schema.subnet.c.netuid, schema.subnet.c.registered_at, subnet_at.c.count)
        .join(schema.subnet, schema.subnet.c.id == subnet_at.c.subnet_id)
        .where(schema.subnet.c.network == network, subnet_at.c.at_block == block)
    )
    return {(netuid, _birth(birth)): count for netuid, birth, count in await connection.execute(query)}
