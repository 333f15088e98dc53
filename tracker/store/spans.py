"""Sums by day of what the snapshots say of each subnet, kept beside them, so that an analysis reads days.

A span is 7,200 blocks, counted from block 0. Whole spans of a range are read here and its two ends from the rows of the
snapshots: 1,000 hourly snapshots of 129 subnets are then some 11,000 rows instead of 129,000. The sums are made anew
for a span whenever one of its rows changes; they hold nothing that `tracker_subnet_at` does not say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    RowMapping,
    Select,
    cast,
    delete,
    func,
    insert,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import BLOCKS_PER_DAY
from tracker.store import schema
from tracker.store.schema import COUNTS, subnet_at, subnet_span

_ADDED: Final = ("periods", "blocks", "twice_the_count", "corrected", *COUNTS)


async def refresh_spans(connection: AsyncConnection, network: str, blocks: Iterable[int]) -> None:
    """Make the sums anew of the spans in which these blocks lie."""
    spans = sorted({block // BLOCKS_PER_DAY for block in blocks})
    mine = select(schema.subnet.c.id).where(schema.subnet.c.network == network)
    await connection.execute(
        delete(subnet_span).where(subnet_span.c.span.in_(spans), subnet_span.c.subnet_id.in_(mine))
    )
    for span in spans:
        first = span * BLOCKS_PER_DAY
        await _insert(
            connection,
            subnet_at.c.subnet_id.in_(mine),
            subnet_at.c.at_block >= first,
            subnet_at.c.at_block < first + BLOCKS_PER_DAY,
        )


async def fill_spans(connection: AsyncConnection) -> None:
    """Make all sums where there are none: for a store that was written before they were kept."""
    if (await connection.execute(select(subnet_span.c.span).limit(1))).first() is None:
        await _insert(connection)


async def _insert(connection: AsyncConnection, *where: ColumnElement[bool]) -> None:
    span = subnet_at.c.at_block // BLOCKS_PER_DAY
    sums = _sums_of_rows().add_columns(span.label("span")).where(*where).group_by(subnet_at.c.subnet_id, span)
    await connection.execute(insert(subnet_span).from_select([column.name for column in sums.selected_columns], sums))


def _sums_of_rows() -> Select[Any]:
    """Sums over rows of snapshots, by names that both tables share; the caller groups them."""
    return select(
        subnet_at.c.subnet_id,
        func.count(subnet_at.c.period_blocks).label("periods"),
        func.coalesce(func.sum(subnet_at.c.period_blocks), 0).label("blocks"),
        func.coalesce(func.sum(subnet_at.c.count + subnet_at.c.count_before), 0).label("twice_the_count"),
        func.sum(cast(subnet_at.c.corrected, Integer)).label("corrected"),
        func.max(subnet_at.c.count).label("largest_count"),
        func.min(subnet_at.c.at_block).label("first_block"),
        func.max(subnet_at.c.at_block).label("last_block"),
        func.min(subnet_at.c.burn_rao).label("lowest_burn_rao"),
        func.max(subnet_at.c.burn_rao).label("highest_burn_rao"),
        *[func.sum(subnet_at.c[name]).label(name) for name in COUNTS],
    )


async def sums(connection: AsyncConnection, network: str, first: int, last: int) -> Sequence[RowMapping]:
    """One row a subnet: what the snapshots after `first` up to `last` say of it, added up."""
    mine = select(schema.subnet.c.id).where(schema.subnet.c.network == network)
    start, end = first // BLOCKS_PER_DAY + 1, last // BLOCKS_PER_DAY  # whole spans: start <= span < end
    rows = (subnet_at.c.subnet_id.in_(mine), subnet_at.c.at_block > first, subnet_at.c.at_block <= last)
    if end <= start:
        found: FromClause = _sums_of_rows().where(*rows).group_by(subnet_at.c.subnet_id).subquery()
        return await _named(connection, found, list(found.c))
    ends = (subnet_at.c.at_block < start * BLOCKS_PER_DAY) | (subnet_at.c.at_block >= end * BLOCKS_PER_DAY)
    at_ends = _sums_of_rows().where(*rows, ends).group_by(subnet_at.c.subnet_id)
    names = [column.name for column in at_ends.selected_columns]
    whole = select(*[subnet_span.c[name] for name in names]).where(
        subnet_span.c.subnet_id.in_(mine), subnet_span.c.span >= start, subnet_span.c.span < end
    )
    parts = union_all(at_ends, whole).subquery()
    merged = (
        select(
            parts.c.subnet_id,
            *[func.sum(parts.c[name]).label(name) for name in _ADDED],
            func.max(parts.c.largest_count).label("largest_count"),
            func.min(parts.c.first_block).label("first_block"),
            func.max(parts.c.last_block).label("last_block"),
        )
        .group_by(parts.c.subnet_id)
        .subquery()
    )
    return await _named(connection, merged, list(merged.c))


async def _named(
    connection: AsyncConnection, found: FromClause, columns: Sequence[ColumnElement[Any]]
) -> Sequence[RowMapping]:
    """The sums beside the numbers by which people know subnets."""
    query = select(*columns, schema.subnet.c.netuid, schema.subnet.c.registered_at).join_from(
        found, schema.subnet, schema.subnet.c.id == found.c.subnet_id
    )
    return (await connection.execute(query)).mappings().all()
