"""What a report needs beside rankings: churn over time, prices of many subnets, tenure. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from tracker.store import schema
from tracker.store.rows import from_microseconds
from tracker.store.schema import seat_change, snapshot, subnet_at, subnet_span
from tracker.tenure import Life, SeatState, lives_of_seat


@dataclass(frozen=True)
class Churn:
    """Registrations that snapshots prove, by subnet and equal spans of blocks; lower bounds."""

    first_block: int
    span_blocks: int
    rows: dict[int, tuple[int, ...]]


async def churn(engine: AsyncEngine, network: str, first: int, last: int, spans: int) -> Churn:
    """Changes of each subnet in each of so many equal spans between two blocks."""
    width = max(1, -(-(last - first) // spans))
    changes = subnet_at.c.true_replaced + subnet_at.c.returned + subnet_at.c.appended
    query = (
        select(schema.subnet.c.netuid, subnet_at.c.at_block, changes)
        .join(schema.subnet, schema.subnet.c.id == subnet_at.c.subnet_id)
        .where(schema.subnet.c.network == network, subnet_at.c.at_block > first, subnet_at.c.at_block <= last)
    )
    rows: dict[int, list[int]] = {}
    async with engine.connect() as connection:
        for netuid, block, count in await connection.execute(query):
            row = rows.setdefault(netuid, [0] * spans)
            row[min(spans - 1, (block - first - 1) // width)] += count
    return Churn(first, width, {netuid: tuple(rows[netuid]) for netuid in sorted(rows)})


async def prices(engine: AsyncEngine, network: str, netuids: list[int]) -> dict[int, list[tuple[float, int]]]:
    """(seconds since 1970, rao) of these subnets, oldest first."""
    query = (
        select(schema.subnet.c.netuid, snapshot.c.time_microseconds, subnet_at.c.burn_rao)
        .join(schema.subnet, schema.subnet.c.id == subnet_at.c.subnet_id)
        .join(snapshot, (snapshot.c.network == schema.subnet.c.network) & (snapshot.c.block == subnet_at.c.at_block))
        .where(
            schema.subnet.c.network == network,
            schema.subnet.c.netuid.in_(netuids),
            subnet_at.c.burn_rao.is_not(None),
        )
        .order_by(subnet_at.c.at_block)
    )
    paths: dict[int, list[tuple[float, int]]] = {netuid: [] for netuid in netuids}
    async with engine.connect() as connection:
        for netuid, microseconds, rao in await connection.execute(query):
            paths[netuid].append((microseconds / 1e6, rao))
    return paths


@dataclass(frozen=True)
class DayPrice:
    """What a seat cost in one day of blocks; `day` is the time of its first snapshot."""

    day: datetime
    first_block: int
    last_block: int
    lowest_rao: int
    highest_rao: int


async def daily_prices(engine: AsyncEngine, network: str, netuid: int) -> list[DayPrice]:
    """Lowest and highest price of each day, oldest first, so that bursts show over any range."""
    query = (
        select(
            snapshot.c.time_microseconds,
            subnet_span.c.first_block,
            subnet_span.c.last_block,
            subnet_span.c.lowest_burn_rao,
            subnet_span.c.highest_burn_rao,
        )
        .join(schema.subnet, schema.subnet.c.id == subnet_span.c.subnet_id)
        .join(
            snapshot,
            (snapshot.c.network == schema.subnet.c.network) & (snapshot.c.block == subnet_span.c.first_block),
        )
        .where(
            schema.subnet.c.network == network,
            schema.subnet.c.netuid == netuid,
            subnet_span.c.lowest_burn_rao.is_not(None),
        )
        .order_by(subnet_span.c.first_block)
    )
    async with engine.connect() as connection:
        return [DayPrice(from_microseconds(row[0]), *row[1:]) for row in await connection.execute(query)]


async def lives(engine: AsyncEngine, network: str, netuid: int) -> list[Life]:
    """Occupancies of a subnet's seats, for its newest registration of that number."""
    numbers = (
        select(schema.subnet.c.id)
        .where(schema.subnet.c.network == network, schema.subnet.c.netuid == netuid)
        .order_by(schema.subnet.c.registered_at.desc())
        .limit(1)
    )
    states = (
        select(seat_change.c.uid, seat_change.c.at_block, schema.hotkey.c.address, seat_change.c.registered)
        .outerjoin(schema.hotkey, schema.hotkey.c.id == seat_change.c.hotkey_id)
        .where(seat_change.c.subnet_id.in_(numbers))
        .order_by(seat_change.c.uid, seat_change.c.at_block)
    )
    ends = (
        select(snapshot.c.block)
        .join(schema.subnet, schema.subnet.c.network == snapshot.c.network)
        .join(subnet_at, (subnet_at.c.subnet_id == schema.subnet.c.id) & (subnet_at.c.at_block == snapshot.c.block))
        .where(schema.subnet.c.id.in_(numbers))
        .order_by(snapshot.c.block)
    )
    by_seat: dict[int, list[SeatState]] = {}
    async with engine.connect() as connection:
        blocks = [block for (block,) in await connection.execute(ends)]
        for uid, block, address, registered in await connection.execute(states):
            by_seat.setdefault(uid, []).append(SeatState(block, address, registered))
    if not blocks:
        return []
    return [life for seat in by_seat.values() for life in lives_of_seat(seat, blocks[0], blocks[-1])]
