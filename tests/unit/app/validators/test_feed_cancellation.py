"""A feed that is told to end ends, whatever the library under it does with a cancellation."""

from __future__ import annotations

import asyncio

import pytest

from app.validators.feed import _apart


async def _swallows() -> None:
    """Like the library: it waits for a task of its own, which takes a cancellation for an ordinary end."""

    async def reads() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return

    await asyncio.create_task(reads())


async def test_a_cancellation_that_the_library_swallows_still_reaches_us() -> None:
    outer = asyncio.create_task(_apart(_swallows(), None))
    await asyncio.sleep(0.01)
    outer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await outer


async def test_what_takes_too_long_is_ended_and_said() -> None:
    with pytest.raises(TimeoutError):
        await _apart(_swallows(), 0.01)


async def test_a_failure_is_passed_on() -> None:
    async def fails() -> None:
        raise OSError("refused")

    with pytest.raises(OSError, match="refused"):
        await _apart(fails(), None)
