"""Takes one consistent snapshot of all subnets (spec: tracker 3). All or nothing: a partial scan is an error.

Every read names one finalized block by hash. Seats are read by computed keys, in chunks that shrink when an endpoint
finds an answer too big. Before it is returned, the snapshot is checked for completeness and for its block being still
the block of that number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from tracker.chain.reader import Block, ChainReader
from tracker.errors import IncompleteSnapshotError, ResponseTooBigError, TrackerError, TransientChainError
from tracker.model import Snapshot, Subnet

Seat = tuple[int, int]
_T = TypeVar("_T")
_U = TypeVar("_U")
_SMALLEST_CHUNK: Final = 64
_PALLET: Final = "SubtensorModule"
#: SS58 address of 32 zero bytes, by which the chain answers for a seat that it does not have.
NO_ACCOUNT: Final = "5C4hrfjw9DjXZTzV3MwzrrAr9P1MJhSrvWGWqi1eSuyUpnhM"


@dataclass(frozen=True)
class ScanOptions:
    """How to scan.

    Args:
        chunk_keys: storage keys in one request; halved on refusal.
        attempts: tries of one read when the node fails internally.
        pause_seconds: before such a further try, doubled each time.
        timeout_seconds: for the whole scan.
    """

    chunk_keys: int = 8_192
    attempts: int = 3
    pause_seconds: float = 0.5
    timeout_seconds: float = 120.0


async def take_snapshot(
    reader: ChainReader,
    *,
    now: Callable[[], datetime],
    options: ScanOptions | None = None,
    number: int | None = None,
) -> Snapshot:
    """Read every subnet at one block: the finalized head, or an older one by number.

    Raises:
        IncompleteSnapshotError: a row is missing or the block was reorganised away; nothing is kept.
        TrackerError: the chain could not be read.
    """
    chosen = options or ScanOptions()
    scan = _Scan(reader, chosen)
    try:
        async with asyncio.timeout(chosen.timeout_seconds):
            at = await scan.retried(reader.finalized if number is None else lambda: reader.block(number))
            return await scan.run(at, now)
    except TimeoutError as error:
        raise IncompleteSnapshotError(f"the scan took longer than {chosen.timeout_seconds:.0f} s") from error


async def gathered(calls: Sequence[Coroutine[object, object, _T]]) -> list[_T]:
    """Run calls together; the first failure ends the others and comes out as itself, not as a group.

    Raises:
        TrackerError: whatever the first failing call raised.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except* TrackerError as failures:
        raise _first(failures) from None
    return [task.result() for task in tasks]


async def both(first: Coroutine[object, object, _T], second: Coroutine[object, object, _U]) -> tuple[_T, _U]:
    """Run two calls of different kinds together; as `gathered`.

    Raises:
        TrackerError: whatever the first failing call raised.
    """
    try:
        async with asyncio.TaskGroup() as group:
            one, other = group.create_task(first), group.create_task(second)
    except* TrackerError as failures:
        raise _first(failures) from None
    return one.result(), other.result()


def _first(group: BaseExceptionGroup[TrackerError]) -> TrackerError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise ValueError("an exception group is never empty")


def sizes_of(netuids: Sequence[int], values: Sequence[object], at: Block) -> dict[int, int]:
    """Numbers of neurons by netuid, from the values of `SubnetworkN`.

    Raises:
        IncompleteSnapshotError: one was not read: a subnet must not look empty for that.
    """
    unread = [netuid for netuid, value in zip(netuids, values, strict=True) if value is None]
    if unread:
        raise IncompleteSnapshotError(f"SubnetworkN of subnet {unread[0]} cannot be read at block {at.number}")
    return {netuid: int(str(value)) for netuid, value in zip(netuids, values, strict=True)}


class _Scan:
    """One scan over one reader."""

    def __init__(self, reader: ChainReader, options: ScanOptions) -> None:
        self._reader = reader
        self._options = options
        self._chunk = options.chunk_keys

    async def retried(self, call: Callable[[], Awaitable[_T]]) -> _T:
        pause = self._options.pause_seconds
        for _ in range(self._options.attempts - 1):
            try:
                return await call()
            except TransientChainError:
                await asyncio.sleep(pause)
                pause *= 2
        return await call()

    async def run(self, at: Block, now: Callable[[], datetime]) -> Snapshot:
        reader = self._reader
        # One read first: the SDK learns the block's runtime once, where gathered first reads would each ask for it.
        stamp = await self.retried(lambda: reader.value("Timestamp.Now", at))
        version = int(str(await self.retried(reader.spec_version)))
        netuids = await self._netuids(at)
        columns = [self._column(name, netuids, at) for name in ("SubnetworkN", "NetworkRegisteredAt", "Burn")]
        counts, births, burns = await gathered(columns)
        sizes = sizes_of(netuids, [counts[netuid] for netuid in netuids], at)
        seats = [(netuid, uid) for netuid in netuids for uid in range(sizes[netuid])]
        subnets = _assemble(seats, await self._rows(seats, at), births, burns, at)
        await self._check_block(at)
        return Snapshot(
            network=reader.network,
            block=at.number,
            timestamp=datetime.fromtimestamp(int(str(stamp)) / 1000, tz=UTC),
            subnets=subnets,
            block_hash=at.hash,
            finalized=True,
            spec_version=version,
            taken_at=now(),
            endpoint=reader.endpoint_host,
            sdk=reader.sdk,
        )

    async def _netuids(self, at: Block) -> list[int]:
        """The networks that exist; rows of dissolved ones stay in other maps for a while."""
        networks = await self.retried(lambda: self._reader.mapping(f"{_PALLET}.NetworksAdded", at))
        unread = sorted(netuid for netuid, added in networks.items() if added is None)
        if unread or not networks:  # a subnet that could not be read must not look dissolved
            raise IncompleteSnapshotError(f"the list of networks at block {at.number} cannot be read: {unread}")
        return sorted(netuid for netuid, added in networks.items() if added)

    async def _column(self, name: str, netuids: Sequence[int], at: Block) -> dict[int, int | None]:
        values = await self.retried(lambda: self._reader.per_subnet(f"{_PALLET}.{name}", netuids, at))
        if len(values) != len(netuids):
            raise IncompleteSnapshotError(f"{name}: {len(values)} of {len(netuids)} subnets answered")
        return {
            netuid: None if value is None else int(str(value)) for netuid, value in zip(netuids, values, strict=True)
        }

    async def _rows(self, seats: Sequence[Seat], at: Block) -> list[tuple[str, int]]:
        """Hotkey and registration block of every seat, in chunks gathered together; halved when one is too big.

        Raises:
            IncompleteSnapshotError: a seat below the number of neurons has no hotkey.
        """
        while True:
            parts = [seats[start : start + self._chunk] for start in range(0, len(seats), self._chunk)]
            try:
                chunks = await gathered([self._chunk_rows(part, at) for part in parts])
            except ResponseTooBigError:
                if self._chunk <= _SMALLEST_CHUNK:
                    raise
                self._chunk //= 2
            else:
                return [row for chunk in chunks for row in chunk]

    async def _chunk_rows(self, part: Sequence[Seat], at: Block) -> list[tuple[str, int]]:
        reader = self._reader
        keys = self.retried(lambda: reader.hotkeys(part, at))
        blocks = self.retried(lambda: reader.registrations(part, at))
        hotkeys, registered = await both(keys, blocks)
        absent = [seat for seat, hotkey in zip(part, hotkeys, strict=False) if hotkey == NO_ACCOUNT]
        if absent or len(hotkeys) != len(part) or len(registered) != len(part):
            where = f"the first is subnet {absent[0][0]} uid {absent[0][1]}" if absent else "rows are missing"
            raise IncompleteSnapshotError(f"{len(absent)} of {len(part)} seats have no hotkey at {at.number}: {where}")
        return list(zip(hotkeys, registered, strict=True))

    async def _check_block(self, at: Block) -> None:
        current = await self.retried(lambda: self._reader.block(at.number))
        if current.hash != at.hash:
            raise IncompleteSnapshotError(f"block {at.number} was {at.hash} and is now {current.hash}: take it again")


def _assemble(
    seats: Sequence[Seat],
    rows: Sequence[tuple[str, int]],
    births: Mapping[int, int | None],
    burns: Mapping[int, int | None],
    at: Block,
) -> dict[int, Subnet]:
    hotkeys: dict[int, dict[int, str]] = {netuid: {} for netuid in births}
    registered: dict[int, dict[int, int]] = {netuid: {} for netuid in births}
    for (netuid, uid), (hotkey, block) in zip(seats, rows, strict=True):
        hotkeys[netuid][uid] = hotkey
        registered[netuid][uid] = block
    return {
        netuid: Subnet(
            netuid=netuid,
            hotkeys=hotkeys[netuid],
            registered=registered[netuid],
            registered_at=birth,
            burn_rao=burns[netuid],
            block=at.number,
        )
        for netuid, birth in births.items()
    }
