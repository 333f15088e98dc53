"""A scan is whole or an error: forks, holes, endless waits, and a list of networks that cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from tests.support.chains import chain, snapshot_of
from tests.support.memory_reader import MemoryReader
from tracker.chain.reader import Block, ChainReader
from tracker.errors import IncompleteSnapshotError, ResponseTooBigError, TransientChainError
from tracker.scan import ScanOptions, take_snapshot

SOURCE = chain()
BLOCK = 5_002_500
QUICK = ScanOptions(pause_seconds=0.0, attempts=2)


def now() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


async def scan(reader: ChainReader, options: ScanOptions = QUICK) -> set[int]:
    return set((await take_snapshot(reader, now=now, options=options, number=BLOCK)).subnets)


async def test_a_scan_of_a_sound_chain_is_the_chain() -> None:
    taken = await take_snapshot(MemoryReader(SOURCE), now=now, number=BLOCK)
    assert taken.subnets == snapshot_of(SOURCE, BLOCK).subnets
    assert (taken.endpoint, taken.taken_at) == ("memory", now())


class Forked(MemoryReader):
    """Its block is another one at the second look."""

    looks = 0

    async def block(self, number: int) -> Block:
        self.looks += 1
        return await super().block(number) if self.looks == 1 else Block(number, "0x" + "00" * 32)


class Holed(MemoryReader):
    """One seat has no hotkey."""

    async def hotkeys(self, seats: Sequence[tuple[int, int]], at: Block) -> list[str]:
        found = await super().hotkeys([*seats[:-1], (1, 9_999)], at)
        return found[: len(seats)]


class Shortened(MemoryReader):
    """Answers for fewer subnets than it was asked."""

    async def per_subnet(self, item: str, netuids: Sequence[int], at: Block) -> list[object]:
        return (await super().per_subnet(item, netuids, at))[1:]


class Unlisted(MemoryReader):
    """One entry of the list of networks cannot be read."""

    async def mapping(self, item: str, at: Block) -> dict[int, object]:
        return {**await super().mapping(item, at), 3: None}


class Empty(MemoryReader):
    """Lists no network."""

    async def mapping(self, item: str, at: Block) -> dict[int, object]:
        await super().mapping(item, at)
        return {}


class Silent(MemoryReader):
    """Never answers."""

    async def value(self, item: str, at: Block) -> object:
        await asyncio.Event().wait()
        return await super().value(item, at)


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        (Forked(SOURCE), "take it again"),
        (Holed(SOURCE), "seats have no hotkey"),
        (Shortened(SOURCE), "subnets answered"),
        (Unlisted(SOURCE), r"cannot be read: \[3\]"),
        (Empty(SOURCE), "list of networks"),
    ],
    ids=lambda one: type(one).__name__,
)
async def test_a_scan_with_a_hole_is_no_snapshot(reader: MemoryReader, message: str) -> None:
    with pytest.raises(IncompleteSnapshotError, match=message):
        await scan(reader)


async def test_a_scan_that_takes_too_long_is_no_snapshot() -> None:
    with pytest.raises(IncompleteSnapshotError, match="took longer"):
        await scan(Silent(SOURCE), ScanOptions(timeout_seconds=0.01))


class Faulty(MemoryReader):
    """Fails so often before it answers."""

    def __init__(self, failures: int) -> None:
        super().__init__(SOURCE)
        self.left = failures

    async def spec_version(self) -> int:
        self.left -= 1
        if self.left >= 0:
            raise TransientChainError("Internal error")
        return await super().spec_version()


async def test_a_failing_read_is_tried_as_often_as_it_was_told() -> None:
    assert 1 in await scan(Faulty(1))
    with pytest.raises(TransientChainError):
        await scan(Faulty(2))


class Small(MemoryReader):
    """Finds any answer for more than so many seats too big."""

    limit = 100

    async def hotkeys(self, seats: Sequence[tuple[int, int]], at: Block) -> list[str]:
        if len(seats) > self.limit:
            raise ResponseTooBigError("Response is too big")
        return await super().hotkeys(seats, at)


async def test_chunks_are_halved_until_they_fit_and_no_further_than_to_their_least() -> None:
    assert 5 in await scan(Small(SOURCE))
    stubborn = Small(SOURCE)
    stubborn.limit = 0
    with pytest.raises(ResponseTooBigError):
        await scan(stubborn)
