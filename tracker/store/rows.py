"""Between snapshots and rows of the change store: numbers for addresses and subnets, times as microseconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Snapshot, Subnet
from tracker.store.schema import UNKNOWN_REGISTRATION, hotkey, subnet

_T = TypeVar("_T")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: SQLite allows 32,766 parameters in one statement.
_IN_CHUNK: Final = 10_000


def to_microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(value: int) -> datetime:
    """The moment, UTC."""
    return _EPOCH + timedelta(microseconds=value)


class Hotkeys:
    """Numbers of addresses, remembered for the life of a store."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._addresses: dict[int, str] = {}

    async def numbers(self, connection: AsyncConnection, addresses: Iterable[str]) -> dict[str, int]:
        """Numbers of all these addresses; unknown ones are added to the table."""
        wanted = [address for address in dict.fromkeys(addresses) if address not in self._numbers]
        for part in _chunks(wanted):
            found = await connection.execute(select(hotkey.c.id, hotkey.c.address).where(hotkey.c.address.in_(part)))
            self._remember((number, address) for number, address in found)
        missing = [{"address": address} for address in wanted if address not in self._numbers]
        for rows in _chunks(missing):
            await connection.execute(insert(hotkey), rows)
            names = [row["address"] for row in rows]
            found = await connection.execute(select(hotkey.c.id, hotkey.c.address).where(hotkey.c.address.in_(names)))
            self._remember((number, address) for number, address in found)
        return self._numbers

    async def addresses(self, connection: AsyncConnection, numbers: Iterable[int]) -> dict[int, str]:
        """Addresses of all these numbers."""
        wanted = [number for number in dict.fromkeys(numbers) if number not in self._addresses]
        for part in _chunks(wanted):
            found = await connection.execute(select(hotkey.c.id, hotkey.c.address).where(hotkey.c.id.in_(part)))
            self._remember((number, address) for number, address in found)
        return self._addresses

    def forget(self) -> None:
        """Forget everything, after a transaction that was rolled back."""
        self._numbers.clear()
        self._addresses.clear()

    def _remember(self, rows: Iterable[tuple[int, str]]) -> None:
        for number, address in rows:
            self._numbers[address] = number
            self._addresses[number] = address


def _chunks(items: Sequence[_T]) -> Iterable[Sequence[_T]]:
    return (items[start : start + _IN_CHUNK] for start in range(0, len(items), _IN_CHUNK))


async def subnet_numbers(connection: AsyncConnection, snapshot: Snapshot) -> dict[int, int]:
    """Row numbers of the snapshot's subnets by netuid; new subnets get a row.

    A file that does not say when a subnet was registered belongs to the newest known subnet of that number that is old
    enough; when the registration becomes known later, the row learns it.
    """
    found = await connection.execute(
        select(subnet.c.id, subnet.c.netuid, subnet.c.registered_at).where(subnet.c.network == snapshot.network)
    )
    known: dict[int, dict[int, int]] = {}
    for number, netuid, registered_at in found:
        known.setdefault(netuid, {})[registered_at] = number
    result = {}
    for netuid, entry in snapshot.subnets.items():
        result[netuid] = await _subnet_number(connection, snapshot.network, entry, known.get(netuid, {}))
    return result


async def _subnet_number(connection: AsyncConnection, network: str, entry: Subnet, known: dict[int, int]) -> int:
    if entry.registered_at is None:
        fitting = [birth for birth in known if birth <= entry.block]
        if fitting:
            return known[max(fitting)]
    elif entry.registered_at in known:
        return known[entry.registered_at]
    elif UNKNOWN_REGISTRATION in known and len(known) == 1:
        number = known[UNKNOWN_REGISTRATION]
        await connection.execute(update(subnet).where(subnet.c.id == number).values(registered_at=entry.registered_at))
        return number
    birth = UNKNOWN_REGISTRATION if entry.registered_at is None else entry.registered_at
    row = {"network": network, "netuid": entry.netuid, "registered_at": birth}
    inserted = await connection.execute(insert(subnet).values(**row).returning(subnet.c.id))
    return int(inserted.scalar_one())
