"""Child processes that do the work on machines: started, listened to, ended. At most so many at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from infra.spec import Event, HostSpec, TurnEvent, Verb, parse_event

_ROOT: Final = Path(__file__).parents[2]
_LINE_LIMIT_BYTES: Final = 64 << 20
_STDERR_KEPT_BYTES: Final = 4000
_END_SECONDS: Final = 5.0
#: Nothing else of the provider's environment reaches a child: it holds the stack's passphrase.
_ENVIRONMENT: Final = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")

OnEvent = Callable[[Event], Awaitable[None]]


@dataclass(frozen=True)
class Ended:
    """How a child ended. `status` is negative where a signal ended it."""

    status: int
    stderr: str


class Children:
    """Runs the host runner, one process a call, each in a process group of its own."""

    def __init__(self, at_once: int) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._running: set[asyncio.subprocess.Process] = set()

    async def run(self, verb: Verb, spec: HostSpec, on_event: OnEvent, timeout_seconds: float) -> Ended:
        """Run a verb and hand on its events as they come.

        Args:
            timeout_seconds: counted anew, beside what it waits, whenever the run says that it waits (`TurnEvent`).

        Raises:
            TimeoutError: it took longer; the child was ended.
        """
        async with self._slots, asyncio.timeout(timeout_seconds) as limit, self._child(verb) as child:

            async def take(event: Event) -> None:
                if isinstance(event, TurnEvent):
                    limit.reschedule(asyncio.get_running_loop().time() + timeout_seconds + event.waits_seconds)
                await on_event(event)

            if child.stdin is None or child.stdout is None or child.stderr is None:
                raise RuntimeError("the child was started without pipes")
            tail = asyncio.create_task(_tail(child.stderr))
            # Standard input stays open: the child ends when it closes, so it cannot outlive us.
            child.stdin.write(spec.to_json().encode() + b"\n")
            with suppress(ConnectionError):
                await child.stdin.drain()
            strays = [line async for line in _events(child.stdout, take)]
            status = await child.wait()
            return Ended(status, "\n".join([*strays, await tail]))

    async def end_all(self) -> None:
        """End every child and whatever it started."""
        for child in tuple(self._running):
            await _end(child)

    @asynccontextmanager
    async def _child(self, verb: Verb) -> AsyncIterator[asyncio.subprocess.Process]:
        environment = {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ}
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "infra.hosts",
            "--attached",
            verb,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={**environment, "PYTHONPATH": str(_ROOT)},
            limit=_LINE_LIMIT_BYTES,
        )
        self._running.add(child)
        try:
            yield child
        finally:
            await _end(child)
            self._running.discard(child)


async def _events(stream: asyncio.StreamReader, on_event: OnEvent) -> AsyncIterator[str]:
    """Hand on events; yield lines that are none."""
    async for line in stream:
        try:
            event = parse_event(line)
        except ValidationError:
            yield line.decode(errors="replace").rstrip()
        else:
            await on_event(event)


async def _tail(stream: asyncio.StreamReader) -> str:
    """The end of a stream, read to its end so that the writer never blocks."""
    kept = b""
    while chunk := await stream.read(65536):
        kept = (kept + chunk)[-_STDERR_KEPT_BYTES:]
    return kept.decode(errors="replace")


async def _end(child: asyncio.subprocess.Process) -> None:
    """End the child's process group: ask, then insist."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.returncode is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await child.wait()
