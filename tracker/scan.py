"""Takes one consistent snapshot of all subnets (spec: tracker 3). All or nothing: a partial scan is an error.

Every read names one finalized block by hash. Seats are read by computed keys, in chunks that shrink when an endpoint
finds an answer too big. Before it is returned, the snapshot is checked for completeness and for its block being still
the block of that number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from tracker.chain.reader import Block, ChainReader
from tracker.errors import IncompleteSnapshotError, ResponseTooBigError, TrackerError, TransientChainError
from tracker.model import Snapshot, Subnet

Seat = tuple[int, int]
_T = TypeVar("_T")
_SMALLEST_CHUNK: Final = 64
_PALLET: Final = "SubtensorModule"


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


def _first(group: BaseExceptionGroup[TrackerError]) -> TrackerError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise ValueError("an exception group is never empty")


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
        maps = [f"{_PALLET}.{name}" for name in ("NetworksAdded", "SubnetworkN", "NetworkRegisteredAt", "Burn")]
        version, *found = await gathered([self.retried(reader.spec_version), *(self._map(item, at) for item in maps)])
        networks, counts, births, burns = (_as_map(one) for one in found)
        netuids = sorted(netuid for netuid, added in networks.items() if added)
        seats = [(netuid, uid) for netuid in netuids for uid in range(_count(counts, netuid))]
        hotkeys = await self._all(seats, lambda part: reader.hotkeys(part, at))
        blocks = await self._all(seats, lambda part: reader.registrations(part, at))
        subnets = _assemble(netuids, seats, hotkeys, blocks, births, burns, at)
        await self._check(netuids, counts, subnets, at)
        return Snapshot(
            network=reader.network,
            block=at.number,
            timestamp=datetime.fromtimestamp(int(str(stamp)) / 1000, tz=UTC),
            subnets=subnets,
            block_hash=at.hash,
            finalized=True,
            spec_version=int(str(version)),
            taken_at=now(),
            endpoint=reader.endpoint_host,
            sdk=reader.sdk,
        )

    async def _map(self, item: str, at: Block) -> dict[int, object]:
        return await self.retried(lambda: self._reader.mapping(item, at))

    async def _all(self, seats: Sequence[Seat], read: Callable[[Sequence[Seat]], Awaitable[list[_T]]]) -> list[_T]:
        """Read all seats in chunks gathered together; halve the chunks when one is refused as too big."""
        while True:
            parts = [seats[start : start + self._chunk] for start in range(0, len(seats), self._chunk)]
            try:
                results = await gathered([self.retried(partial(read, part)) for part in parts])
            except ResponseTooBigError:
                if self._chunk <= _SMALLEST_CHUNK:
                    raise
                self._chunk //= 2
            else:
                return [row for result in results for row in result]

    async def _check(
        self, netuids: Sequence[int], counts: dict[int, object], subnets: dict[int, Subnet], at: Block
    ) -> None:
        for netuid in netuids:
            seen, wanted = subnets[netuid].count, _count(counts, netuid)
            if seen != wanted:
                raise IncompleteSnapshotError(
                    f"subnet {netuid}: {seen} of {wanted} neurons answered at block {at.number}"
                )
        current = await self.retried(lambda: self._reader.block(at.number))
        if current.hash != at.hash:
            raise IncompleteSnapshotError(f"block {at.number} was {at.hash} and is now {current.hash}: take it again")


def _as_map(value: object) -> dict[int, object]:
    if not isinstance(value, dict):
        raise IncompleteSnapshotError(f"a map was expected from the chain, got {type(value).__name__}")
    return value


def _count(counts: dict[int, object], netuid: int) -> int:
    return int(str(counts.get(netuid, 0)))


def _assemble(
    netuids: Sequence[int],
    seats: Sequence[Seat],
    hotkeys: Sequence[str],
    blocks: Sequence[int],
    births: dict[int, object],
    burns: dict[int, object],
    at: Block,
) -> dict[int, Subnet]:
    by_subnet: dict[int, tuple[dict[int, str], dict[int, int]]] = {netuid: ({}, {}) for netuid in netuids}
    for (netuid, uid), hotkey, block in zip(seats, hotkeys, blocks, strict=True):
        by_subnet[netuid][0][uid] = hotkey
        by_subnet[netuid][1][uid] = block
    return {
        netuid: Subnet(
            netuid=netuid,
            hotkeys=rows[0],
            registered=rows[1],
            registered_at=None if births.get(netuid) is None else int(str(births[netuid])),
            burn_rao=None if burns.get(netuid) is None else int(str(burns[netuid])),
            block=at.number,
        )
        for netuid, rows in by_subnet.items()
    }
