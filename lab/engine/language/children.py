"""Child processes of the language host: each in a process group of its own, ended as a group, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final

_GUARD: Final = Path(__file__).with_name("guard.py")
#: The engine kills the language host five seconds after SIGINT; its children have to be gone before.
_TERM_SECONDS: Final = 3.0
_DRAIN_SECONDS: Final = 0.2
_CHUNK_BYTES: Final = 65536


class Children:
    """Starts, streams and ends children. `close()` ends all that still run."""

    def __init__(self) -> None:
        self._running: set[Process] = set()

    async def start(
        self,
        command: Sequence[str],
        *,
        folder: str | None,
        environment: Mapping[str, str] | None = None,
        streamed: bool = True,
    ) -> Process:
        """Start a child that dies with this process.

        Args:
            command: program and arguments; never holds a secret.
            folder: working directory, None for this process's own.
            environment: the whole environment; None for this process's own.
            streamed: True to read its output with `lines`; False to give it this process's stdout and a pipe as stdin.
        """
        guarded = (sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), str(int(signal.SIGTERM)), *command)
        child = await asyncio.create_subprocess_exec(
            *guarded,
            cwd=folder or None,
            env=environment,
            stdin=DEVNULL if streamed else PIPE,
            stdout=PIPE if streamed else None,
            stderr=PIPE if streamed else None,
            process_group=0,
        )
        self._running.add(child)
        return child

    async def end(self, child: Process) -> int:
        """Exit status of a child: its own if it is done, else it is asked to end and, if it stays, killed."""
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await child.wait()
        except TimeoutError:
            await self._terminate(child)
        finally:
            _signal_group(child, signal.SIGKILL)  # whatever it left behind in its group
            self._running.discard(child)
        return await child.wait()

    async def terminate_all(self) -> None:
        """SIGTERM to all: they may finish what must not be cut off."""
        for child in self._running:
            _signal_group(child, signal.SIGTERM)

    async def close(self) -> None:
        """End all children."""
        await asyncio.gather(*(self.end(child) for child in tuple(self._running)))

    async def _terminate(self, child: Process) -> None:
        # Not SIGINT: a Python program without a handler would print a traceback, and the engine would show it.
        _signal_group(child, signal.SIGTERM)
        try:
            async with asyncio.timeout(_TERM_SECONDS):
                await child.wait()
        except TimeoutError:
            _signal_group(child, signal.SIGKILL)


def _signal_group(child: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


async def lines(child: Process) -> AsyncIterator[tuple[str, bytes]]:
    """What a streamed child writes, as ("stdout" | "stderr", data), until both streams end."""
    merged: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def pump(name: str, reader: asyncio.StreamReader | None) -> None:
        while reader is not None and (data := await reader.read(_CHUNK_BYTES)):
            await merged.put((name, data))
        await merged.put((name, b""))

    async with asyncio.TaskGroup() as group:
        pumps = [
            group.create_task(pump("stdout", child.stdout)),
            group.create_task(pump("stderr", child.stderr)),
        ]
        try:
            remaining = len(pumps)
            while remaining:
                name, data = await merged.get()
                if data:
                    yield name, data
                else:
                    remaining -= 1
        finally:
            for task in pumps:
                task.cancel()
