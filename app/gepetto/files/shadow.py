"""A strategy file beside a running fleet: it decides on live snapshots, acts on nothing, and differences are told.

`headframe gepetto shadow`. The other side is the built-in strategy with the same memory of the past.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.decide import decide
from app.gepetto.decision.memory import Memory
from app.gepetto.files.inspect import Difference, compare_intents
from app.gepetto.files.runner import FileProcess, Limits
from app.gepetto.world.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Look:
    """One snapshot of the live fleet, and what the two sides made of it."""

    at: float
    difference: Difference


async def shadow(
    path: Path,
    read: Callable[[], Awaitable[Snapshot]],
    configuration: Configuration,
    *,
    pause_seconds: float = 5.0,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> AsyncGenerator[Look, None]:
    """Looks without end, one for every new snapshot; the default is the first side, the file the second.

    Raises:
        FileFaultError: the file failed.
    """
    process, memory, seen_at = FileProcess(path, limits), Memory(), float("-inf")
    try:
        await process.start()
        while True:
            snapshot = await read()
            if snapshot.now > seen_at:
                seen_at = snapshot.now
                ours, memory = decide(snapshot, configuration, memory)
                yield Look(seen_at, compare_intents(ours, await process.decide(snapshot, configuration)))
            await asyncio.sleep(pause_seconds)
    finally:
        await process.stop()
