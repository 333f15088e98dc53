"""Everything that is not Gepetto, seen from a bench: it runs in a process of its own (`serve_outside`).

Imports nothing of it, so that the memory of the bench is Gepetto's.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson

CHUTES, SERVERS = 1000, 125


@dataclass(frozen=True)
class Addresses:
    """Where everything is."""

    database: str
    clusters: str
    validator: str
    hotkey: str


@dataclass(frozen=True)
class Job:
    """A cluster was asked for a Job of that chute, by the clock that all processes of a machine share."""

    chute_id: str
    at: float


class Outside:
    """The process, seen from the bench: its addresses, and the Jobs that it tells of."""

    def __init__(self, process: asyncio.subprocess.Process, addresses: Addresses) -> None:
        self.process, self.addresses = process, addresses

    async def next_job(self) -> Job:
        """The next Job that a cluster was asked for."""
        assert self.process.stdout is not None
        return Job(**orjson.loads(await self.process.stdout.readline()))


@asynccontextmanager
async def running_outside(hotkey: str) -> AsyncIterator[Outside]:
    """The process, until the block ends; it ends when its input does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.gepetto.serve_outside",
        hotkey,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(120):
            first = await process.stdout.readline()
        yield Outside(process, Addresses(**orjson.loads(first)))
    finally:
        if process.stdin is not None:
            process.stdin.close()
        async with asyncio.timeout(60):
            await process.wait()
