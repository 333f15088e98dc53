"""The change store: takes snapshots in, in any order of blocks, and gives them back exactly (spec: tracker 8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tracker.errors import UnknownSubnetError
from tracker.files import time_in_name
from tracker.model import Snapshot, Subnet
from tracker.store import schema
from tracker.store.changes import Seats, seat_changes, seats_of, subnet_rows
from tracker.store.database import writing
from tracker.store.rows import Hotkeys, from_microseconds, subnet_numbers, to_microseconds
from tracker.store.schema import UNKNOWN_REGISTRATION, seat_change, snapshot, subnet_at
from tracker.store.spans import refresh_spans


class Store:
    """One store over one engine. Remembers the newest snapshot, so that taking in many in a row reads none back."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._hotkeys = Hotkeys()
        self._newest: Snapshot | None = None

    async def add(self, taken: Snapshot) -> bool:
        """Take one snapshot in; False if that block of that network is there already, and nothing changes then."""
        async with writing(self._engine) as connection:
            if await self._holds(connection, taken):
                return False
            before = await self._neighbour(connection, taken, older=True)
            after = await self._neighbour(connection, taken, older=False)
            try:
                await self._insert_head(connection, taken)
                await self._write(connection, before, taken)
                if after is not None:
                    await self._rewrite(connection, taken, after)
                touched = [taken.block] if after is None else [taken.block, after.block]
                await refresh_spans(connection, taken.network, touched)
            except BaseException:
                self._hotkeys.forget()
                self._newest = None
                raise
        if after is None:
            self._newest = taken
        return True

    async def blocks(self, network: str | None = None) -> list[tuple[str, int]]:
        """(network, block) of every snapshot, oldest first."""
        query = select(snapshot.c.network, snapshot.c.block).order_by(snapshot.c.network, snapshot.c.block)
        if network is not None:
            query = query.where(snapshot.c.network == network)
        async with self._engine.connect() as connection:
            return [(name, block) for name, block in await connection.execute(query)]

    async def newest(self) -> tuple[str, int, datetime] | None:
        """Network, block and time of the newest snapshot; None in an empty store."""
        query = select(snapshot.c.network, snapshot.c.block, snapshot.c.time_microseconds)
        async with self._engine.connect() as connection:
            found = await connection.execute(query.order_by(snapshot.c.time_microseconds.desc()).limit(1))
            row = found.one_or_none()
        return None if row is None else (row.network, row.block, from_microseconds(row.time_microseconds))

    async def times(self) -> set[str]:
        """Times of all snapshots as they stand in file names."""
        async with self._engine.connect() as connection:
            found = await connection.execute(select(snapshot.c.time_microseconds))
            return {time_in_name(from_microseconds(value)) for (value,) in found}

    async def get(self, network: str, block: int) -> Snapshot:
        """One snapshot, as it was taken in.

        Raises:
            UnknownSubnetError: there is none of that block.
        """
        async with self._engine.connect() as connection:
            found = await self._load(connection, network, block)
        if found is None:
            raise UnknownSubnetError(f"the store has no snapshot of {network} at block {block}; see `tracker list`")
        return found

    async def _holds(self, connection: AsyncConnection, taken: Snapshot) -> bool:
        query = select(snapshot.c.id).where(snapshot.c.network == taken.network, snapshot.c.block == taken.block)
        return (await connection.execute(query)).scalar_one_or_none() is not None

    async def _neighbour(self, connection: AsyncConnection, taken: Snapshot, *, older: bool) -> Snapshot | None:
        column = func.max(snapshot.c.block) if older else func.min(snapshot.c.block)
        side = snapshot.c.block < taken.block if older else snapshot.c.block > taken.block
        query = select(column).where(snapshot.c.network == taken.network, side)
        block = (await connection.execute(query)).scalar_one_or_none()
        if block is None:
            return None
        newest = self._newest
        if newest is not None and (newest.network, newest.block) == (taken.network, block):
            return newest
        return await self._load(connection, taken.network, block)

    async def _insert_head(self, connection: AsyncConnection, taken: Snapshot) -> None:
        moment = None if taken.taken_at is None else to_microseconds(taken.taken_at)
        statement = insert(snapshot).values(
            network=taken.network,
            block=taken.block,
            block_hash=taken.block_hash,
            time_microseconds=to_microseconds(taken.timestamp),
            finalized=taken.finalized,
            spec_version=taken.spec_version,
            taken_at_microseconds=moment,
            endpoint=taken.endpoint,
            sdk=taken.sdk,
        )
        await connection.execute(statement)

    async def _write(self, connection: AsyncConnection, before: Snapshot | None, taken: Snapshot) -> None:
        """Rows of one snapshot: what it says of each subnet, and the seats that differ from the state before."""
        numbers = await subnet_numbers(connection, taken)
        rows = subnet_rows(before, taken, numbers)
        if rows:
            await connection.execute(insert(subnet_at), rows)
        state = await self._state(connection, taken, before, numbers)
        changes = list(seat_changes(state, seats_of(taken.subnets.values(), numbers), set(numbers.values())))
        ids = await self._hotkeys.numbers(connection, (address for _, address, _ in changes if address is not None))
        seats = [
            {
                "subnet_id": place[0],
                "uid": place[1],
                "at_block": taken.block,
                "hotkey_id": None if address is None else ids[address],
                "registered": registered,
            }
            for place, address, registered in changes
        ]
        if seats:
            await connection.execute(insert(seat_change), seats)

    async def _rewrite(self, connection: AsyncConnection, before: Snapshot, taken: Snapshot) -> None:
        """A snapshot got another predecessor: its rows are made anew."""
        mine = select(schema.subnet.c.id).where(schema.subnet.c.network == taken.network)
        for table in (subnet_at, seat_change):
            await connection.execute(delete(table).where(table.c.at_block == taken.block, table.c.subnet_id.in_(mine)))
        await self._write(connection, before, taken)

    async def _state(
        self, connection: AsyncConnection, taken: Snapshot, before: Snapshot | None, numbers: Mapping[int, int]
    ) -> Seats:
        """The newest state of the snapshot's subnets before it.

        The snapshot before says it, but for subnets that it does not show: those that were there earlier are looked up.
        """
        if before is None:
            return {}
        known = await subnet_numbers(connection, before)
        state = seats_of(before.subnets.values(), known)
        absent = [number for number in numbers.values() if number not in set(known.values())]
        if absent:
            state |= await self._seats_until(connection, taken.network, taken.block - 1, absent)
        return state

    async def _seats_until(
        self, connection: AsyncConnection, network: str, block: int, subnets: Iterable[int] | None = None
    ) -> Seats:
        """The newest row of each seat up to a block; empty seats are left out."""
        newest = (
            func.row_number()
            .over(partition_by=(seat_change.c.subnet_id, seat_change.c.uid), order_by=seat_change.c.at_block.desc())
            .label("place")
        )
        inner = (
            select(seat_change, newest)
            .join(schema.subnet, schema.subnet.c.id == seat_change.c.subnet_id)
            .where(schema.subnet.c.network == network, seat_change.c.at_block <= block)
        )
        if subnets is not None:
            inner = inner.where(seat_change.c.subnet_id.in_(list(subnets)))
        rows = inner.subquery()
        query = select(rows.c.subnet_id, rows.c.uid, rows.c.hotkey_id, rows.c.registered).where(
            rows.c.place == 1, rows.c.hotkey_id.is_not(None)
        )
        found = (await connection.execute(query)).all()
        names = await self._hotkeys.addresses(connection, (row.hotkey_id for row in found))
        return {(row.subnet_id, row.uid): (names[row.hotkey_id], row.registered) for row in found}

    async def _load(self, connection: AsyncConnection, network: str, block: int) -> Snapshot | None:
        query = select(snapshot).where(snapshot.c.network == network, snapshot.c.block == block)
        head = (await connection.execute(query)).one_or_none()
        if head is None:
            return None
        entries = select(subnet_at, schema.subnet.c.netuid, schema.subnet.c.registered_at).join(
            schema.subnet, schema.subnet.c.id == subnet_at.c.subnet_id
        )
        chosen = entries.where(schema.subnet.c.network == network, subnet_at.c.at_block == block)
        rows = (await connection.execute(chosen)).all()
        seats = await self._seats_until(connection, network, block, [row.subnet_id for row in rows])
        by_subnet: dict[int, dict[int, tuple[str, int | None]]] = {}
        for (number, uid), seat in seats.items():
            by_subnet.setdefault(number, {})[uid] = seat
        subnets = {}
        for row in sorted(rows, key=lambda one: one.netuid):
            mine = by_subnet.get(row.subnet_id, {})
            birth = row.registered_at if row.knows_registration and row.registered_at != UNKNOWN_REGISTRATION else None
            subnets[row.netuid] = Subnet(
                netuid=row.netuid,
                hotkeys={uid: mine[uid][0] for uid in sorted(mine)},
                registered={uid: at for uid in sorted(mine) if (at := mine[uid][1]) is not None},
                registered_at=birth,
                burn_rao=row.burn_rao,
                block=row.block,
            )
        taken_at = None if head.taken_at_microseconds is None else from_microseconds(head.taken_at_microseconds)
        return Snapshot(
            network=head.network,
            block=head.block,
            timestamp=from_microseconds(head.time_microseconds),
            subnets=subnets,
            block_hash=head.block_hash,
            finalized=head.finalized,
            spec_version=head.spec_version,
            taken_at=taken_at,
            endpoint=head.endpoint,
            sdk=head.sdk,
        )
