"""Finds the block of a moment, and fills history from an archive (spec: tracker 7). Resumes where it was stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tracker.chain.reader import ChainReader
from tracker.errors import RefusedByPolicyError
from tracker.model import Snapshot
from tracker.scan import ScanOptions, take_snapshot


async def block_at(reader: ChainReader, moment: datetime) -> int:
    """The last block whose own time is not after a moment.

    Slots get lost, so dividing by the slot length is wrong by thousands of blocks: the search asks blocks for their
    own time, by interpolation first and halving when that stalls.

    Raises:
        ValueError: the moment lies before the first block that the endpoint knows the time of.
    """
    head = (await reader.finalized()).number
    newest = await _time(reader, head)
    if moment >= newest:
        return head
    slot = await reader.slot_milliseconds() / 1000
    low, high = 1, head
    low_time = None
    high_time = newest
    while high - low > 1:
        if low_time is None:
            behind = (high_time - moment).total_seconds()
            guess = high - max(1, int(behind / slot))
        else:
            guess = _between((low, low_time), (high, high_time), moment)
        guess = min(max(guess, low + 1), high - 1)
        before = high - low
        seen = await _time(reader, guess)
        if seen <= moment:
            low, low_time = guess, seen
        else:
            high, high_time = guess, seen
        if high - low > before // 2 and high - low > 1:
            middle = (low + high) // 2
            seen = await _time(reader, middle)
            if seen <= moment:
                low, low_time = middle, seen
            else:
                high, high_time = middle, seen
    return low


def _between(low: tuple[int, datetime], high: tuple[int, datetime], moment: datetime) -> int:
    """The block that would be of a moment if blocks came evenly between two of them."""
    span = (high[1] - low[1]).total_seconds()
    if not span:
        return (low[0] + high[0]) // 2
    return low[0] + int((high[0] - low[0]) * ((moment - low[1]).total_seconds() / span))


async def _time(reader: ChainReader, number: int) -> datetime:
    stamp = await reader.value("Timestamp.Now", await reader.block(number))
    return datetime.fromtimestamp(int(str(stamp)) / 1000, tz=UTC)


@dataclass(frozen=True)
class Backfill:
    """Which blocks to fetch.

    Args:
        blocks: block numbers, any order; those that the store has are left out by the caller.
        pace_seconds: pause after each snapshot: public archives refuse too much historical work.
    """

    blocks: Sequence[int]
    pace_seconds: float = 0.0


async def backfill(
    reader: ChainReader,
    wanted: Backfill,
    keep: Callable[[Snapshot], Awaitable[bool]],
    *,
    now: Callable[[], datetime],
    options: ScanOptions | None = None,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> int:
    """Take a snapshot at each block and hand it on; returns how many were new.

    A refusal under a load policy is waited out once for as long as the endpoint asks; each snapshot is handed on whole,
    so a stopped run is resumed by running it again.

    Raises:
        TrackerError: a block could not be read; what was handed on before stays.
    """
    new = 0
    for done, number in enumerate(sorted(wanted.blocks), start=1):
        try:
            taken = await take_snapshot(reader, now=now, options=options, number=number)
        except RefusedByPolicyError as refusal:
            if refusal.retry_after_seconds is None:
                raise
            await asyncio.sleep(refusal.retry_after_seconds)
            taken = await take_snapshot(reader, now=now, options=options, number=number)
        new += await keep(taken)
        progress(done, len(wanted.blocks))
        await asyncio.sleep(wanted.pace_seconds)
    return new
