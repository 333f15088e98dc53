"""A cancellation that a group of tasks has swallowed. Pure asyncio; nothing of ours."""

from __future__ import annotations

import asyncio


def raise_if_cancelled() -> None:
    """To be called after `except*` around a TaskGroup: before Python 3.13 a group whose tasks fail while it is being
    cancelled raises their errors alone, and a loop that handles those would run on for ever.

    Raises:
        asyncio.CancelledError: this task has been told to end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
