"""Waiting for other processes and tasks, with an end."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import httpx

Result = TypeVar("Result")


async def until(condition: Callable[[], object], *, seconds: float = 15, every: float = 0.02) -> None:
    """Wait until a condition, plain or awaitable, is true.

    Raises:
        TimeoutError: it was not within the time.
    """
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if await found if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(every)


@contextlib.asynccontextmanager
async def running(*jobs: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run endless jobs beside the block and end them with it; one that fails fails the block's end."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        yield
    finally:
        pending = set(tasks)
        while pending:  # asyncio.wait_for may lose a cancellation before Python 3.12
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=5)
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError):
            raise end


async def in_thread(action: Callable[[], Result]) -> Result:
    """Run something that blocks beside the event loop."""
    return await asyncio.to_thread(action)


async def fastest(work: Callable[[], Awaitable[object]], *, enough_seconds: float, attempts: int = 3) -> float:
    """Seconds of the quickest of a few attempts, ending at the first that is quick enough: a limit that a busy machine
    does not break, and slow code does.
    """
    found = float("inf")
    for _ in range(attempts):
        started = time.perf_counter()
        await work()
        found = min(found, time.perf_counter() - started)
        if found <= enough_seconds:
            break
    return found


async def answers(url: str) -> bool:
    """Whether a GET of this address succeeds now."""
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
            return (await http.get(url)).is_success
    except httpx.HTTPError:
        return False
