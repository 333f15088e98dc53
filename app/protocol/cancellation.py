"""Work whose own failures never hide that it was told to end. Pure asyncio; nothing of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

#: Time that work has to put its things in order before it is told again.
_AGAIN_SECONDS: Final = 10.0


async def run_apart(work: Coroutine[Any, Any, None]) -> None:
    """Run work in a task of its own and wait for it. For loops that handle its errors and go on.

    Before Python 3.13 a TaskGroup whose tasks fail while it is being cancelled raises their errors alone: the loop
    around it would go on for ever. Here a cancellation ends the work, whatever it answers, and is raised.

    Raises:
        asyncio.CancelledError: the caller was told to end.
        BaseException: whatever the work raised.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        # Before Python 3.12 asyncio.wait_for, which clients of ours use, may lose a cancellation: it is repeated.
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_AGAIN_SECONDS)
        if not task.cancelled():
            task.exception()  # seen, so that nobody reports it as lost
        raise
    task.result()


async def run_together(*works: Coroutine[Any, Any, None]) -> None:
    """Run works beside each other until one fails, all have ended, or we are told to end; then all of them end.

    What an `asyncio.TaskGroup` does, but each work is told to end until it has: a group tells it once, and a work that
    lost that one cancellation (see above) would hold the group for ever.

    Raises:
        asyncio.CancelledError: the caller was told to end.
        BaseExceptionGroup: the failures of the works.
    """
    tasks = [asyncio.create_task(work) for work in works]
    told = False
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    except asyncio.CancelledError:
        told = True
    while waiting := [task for task in tasks if not task.done()]:
        for task in waiting:
            task.cancel()
        try:
            await asyncio.wait(waiting, timeout=_AGAIN_SECONDS)
        except asyncio.CancelledError:
            told = True
    failures = [error for task in tasks if not task.cancelled() and (error := task.exception()) is not None]
    if told:
        raise asyncio.CancelledError
    if failures:
        raise BaseExceptionGroup("works that ran together failed", failures)
