"""The event feed of one validator: a socket.io connection that is made again whenever it ends (spec: protocol 10).

It hands every message to `on_message` and calls `on_ready` after each authentication, because the feed is at-most-once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import aiohttp
import socketio
import structlog
from socketio.exceptions import SocketIOError

from app.protocol.cancellation import run_apart
from app.protocol.signing import Purpose, Signer, nonce_v1
from app.protocol.validators import ValidatorEntry

FIRST_WAIT_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 60.0
REFUSED_WAIT_SECONDS: Final = 30.0
CONNECT_TIMEOUT_SECONDS: Final = 10.0
AUTHENTICATION_TIMEOUT_SECONDS: Final = 30.0
CLOSE_TIMEOUT_SECONDS: Final = 5.0

log = structlog.get_logger(__name__)


class End(StrEnum):
    """How a connection ended."""

    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    DISCONNECTED = "disconnected"


@dataclass(frozen=True)
class Waits:
    """Pauses between connections, in seconds; tests use short ones."""

    first_seconds: float = FIRST_WAIT_SECONDS
    longest_seconds: float = LONGEST_WAIT_SECONDS
    refused_seconds: float = REFUSED_WAIT_SECONDS

    def next(self, end: End, failures: int, jitter: float) -> float:
        """The pause after the n-th failure in a row; `jitter` is uniform in [0, 1) and halves the pause at most."""
        pause = min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures, 16))
        pause *= 0.5 + jitter / 2
        return max(pause, self.refused_seconds) if end is End.REFUSED else pause


class Feed:
    """Supervises one validator's connection.

    Args:
        clock: Unix seconds, for nonces.
        random: uniform in [0, 1), for jitter.
    """

    def __init__(
        self,
        entry: ValidatorEntry,
        signer: Signer,
        *,
        on_message: Callable[[object], None],
        on_ready: Callable[[], Awaitable[None]],
        clock: Callable[[], float],
        random: Callable[[], float],
        waits: Waits | None = None,
    ) -> None:
        self.entry = entry
        self._signer = signer
        self._on_message = on_message
        self._on_ready = on_ready
        self._clock = clock
        self._random = random
        self._waits = waits or Waits()
        self.is_ready = False

    async def run(self) -> None:
        """Connect, authenticate and listen, for ever."""
        failures = 0
        while True:
            try:
                was_ready, end = await self._connection()
            except Exception:  # the library checks little of what it reads: a proxy that closes at once is a TypeError
                log.exception("the event feed ended by a mistake", validator=self.entry.hotkey)
                was_ready, end = False, End.UNREACHABLE
            failures = 0 if was_ready else failures + 1
            pause = self._waits.next(end, failures, self._random())
            log.warning(
                "the event feed ended", validator=self.entry.hotkey, how=end.value, again_in_seconds=round(pause, 1)
            )
            await asyncio.sleep(pause)

    async def _connection(self) -> tuple[bool, End]:
        """One connection from start to end: whether it ever authenticated, and how it ended."""
        # The library leaves what a failed connect opened to the garbage collector: everything ends with this block.
        responses: list[aiohttp.ClientResponse] = []
        try:
            async with aiohttp.ClientSession(trace_configs=[_remembering(responses)]) as http:
                client = socketio.AsyncClient(reconnection=False, handle_sigint=False, http_session=http)
                return await self._connect(client)
        finally:
            for response in responses:
                response.close()

    async def _connect(self, client: socketio.AsyncClient) -> tuple[bool, End]:
        verdict: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._register(client, verdict)
        try:
            connecting = client.connect(
                self.entry.socket, transports=["websocket"], wait_timeout=int(CONNECT_TIMEOUT_SECONDS)
            )
            await _apart(connecting, CONNECT_TIMEOUT_SECONDS * 2)
        except (SocketIOError, OSError, TimeoutError) as error:
            log.info("the event feed did not connect", validator=self.entry.hotkey, error=str(error))
            await _close(client)
            return False, End.UNREACHABLE
        try:
            return await self._session(client, verdict)
        finally:
            self.is_ready = False
            await _close(client)

    async def _session(self, client: socketio.AsyncClient, verdict: asyncio.Future[bool]) -> tuple[bool, End]:
        headers = self._signer.hotkey_headers(nonce_v1(self._clock()), purpose=Purpose.SOCKETS)
        try:
            await client.emit("authenticate", headers)
            async with asyncio.timeout(AUTHENTICATION_TIMEOUT_SECONDS):
                accepted = await verdict
        except (SocketIOError, TimeoutError) as error:
            log.info("the event feed did not authenticate", validator=self.entry.hotkey, error=str(error))
            return False, End.DISCONNECTED
        if not accepted:
            return False, End.REFUSED
        self.is_ready = True
        log.info("the event feed is ready", validator=self.entry.hotkey)
        async with asyncio.TaskGroup() as tasks:
            ready = tasks.create_task(_call(self._on_ready))
            await _apart(client.wait(), None)
            ready.cancel()
        return True, End.DISCONNECTED

    def _register(self, client: socketio.AsyncClient, verdict: asyncio.Future[bool]) -> None:
        def settle(accepted: bool) -> None:
            if not verdict.done():
                verdict.set_result(accepted)

        def on_success(*_: object) -> None:
            settle(True)

        def on_failure(*_: object) -> None:
            settle(False)

        def on_disconnect(*_: object) -> None:
            if not verdict.done():
                verdict.set_exception(SocketIOError("disconnected before the answer"))

        def on_broadcast(message: object = None, *_: object) -> None:
            self._on_message(message)

        client.on("auth_success", on_success)
        client.on("auth_failed", on_failure)
        client.on("disconnect", on_disconnect)
        client.on("miner_broadcast", on_broadcast)


def _remembering(responses: list[aiohttp.ClientResponse]) -> aiohttp.TraceConfig:
    """Keeps the answer to every request of a session, that of an opened web socket among them."""

    async def remember(_: aiohttp.ClientSession, __: object, ended: aiohttp.TraceRequestEndParams) -> None:
        responses.append(ended.response)

    config = aiohttp.TraceConfig()
    config.on_request_end.append(remember)
    return config


async def _call(action: Callable[[], Awaitable[None]]) -> None:
    await action()


async def _close(client: socketio.AsyncClient) -> None:
    try:
        await _apart(client.shutdown(), CLOSE_TIMEOUT_SECONDS)
    except (SocketIOError, OSError, TimeoutError) as error:
        log.debug("closing a finished connection failed", error=str(error))


async def _apart(action: Coroutine[object, object, None], limit_seconds: float | None) -> None:
    """Run a coroutine of the library apart: it waits for tasks of its own that swallow a cancellation meant for us.

    Raises:
        TimeoutError: it did not end within the limit; it is cancelled then.
    """
    async with asyncio.timeout(limit_seconds):
        await run_apart(action)
