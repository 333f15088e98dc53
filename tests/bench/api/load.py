"""A light load generator: raw HTTP/1.1 over kept connections, requests signed beforehand, latencies per request.

It runs on uvloop without streams or a task for each request, so that the server is what is measured, not this.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast

OK: Final = 200
#: A server that answers nothing for so long has failed.
PATIENCE_SECONDS: Final = 120.0


@dataclass(frozen=True)
class Result:
    """What a run measured. Latencies are in seconds, sorted."""

    answered: int
    refused: int
    elapsed_seconds: float
    latencies: tuple[float, ...]

    @property
    def per_second(self) -> float:
        """Answers in a second of wall time."""
        return self.answered / self.elapsed_seconds

    def percentile_ms(self, share: float) -> float:
        """A latency percentile in milliseconds."""
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))] * 1000


def request(path: str, headers: dict[str, str]) -> bytes:
    """The bytes of one GET."""
    lines = [f"GET {path} HTTP/1.1", "Host: bench", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Connection(asyncio.Protocol):
    """One kept connection with one request at a time. A connection that ends meanwhile tells status 0."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._told: Callable[[int], None] | None = None
        self._head = b""
        self._status = 0
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is none by its class

    def send(self, raw: bytes, told: Callable[[int], None]) -> None:
        """Send a request; `told` gets the status once the whole answer is there."""
        assert self._transport is not None
        self._told = told
        self._transport.write(raw)

    def data_received(self, data: bytes) -> None:
        """Read the head, then count the body."""
        if self._missing:
            self._missing -= len(data)
        else:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._head[:end].lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            self._status = int(head[9:12])
            self._missing = length + end + 4 - len(self._head)
            self._head = b""
        if self._missing == 0:
            self._tell(self._status)

    def connection_lost(self, exc: Exception | None) -> None:
        """A request under way got no answer."""
        self._tell(0)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    def _tell(self, status: int) -> None:
        told, self._told = self._told, None
        if told is not None:
            told(status)


class _Run:
    """Answers of one run: how many, how late."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._started = time.perf_counter()
        self._refused = 0
        self._latencies: list[float] = []

    def take(self, status: int, since: float) -> None:
        self._refused += status != OK
        self._latencies.append(time.perf_counter() - since)
        if len(self._latencies) == self._wanted:
            self._done.set_result(None)

    async def result(self) -> Result:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._done
        elapsed = time.perf_counter() - self._started
        return Result(self._wanted, self._refused, elapsed, tuple(sorted(self._latencies)))


async def _connect(port: int, count: int) -> list[Connection]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(count)]


async def saturate(port: int, requests: Sequence[bytes], connections: int) -> Result:
    """Send all requests as fast as they are answered."""
    opened = await _connect(port, connections)
    pending = iter(requests)
    run = _Run(len(requests))

    def send_next(connection: Connection) -> None:
        raw = next(pending, None)
        if raw is None:
            return
        sent = time.perf_counter()

        def told(status: int) -> None:
            run.take(status, sent)
            send_next(connection)

        connection.send(raw, told)

    for connection in opened:
        send_next(connection)
    try:
        return await run.result()
    finally:
        for connection in opened:
            connection.close()


async def paced(port: int, requests: Sequence[bytes], per_second: float, connections: int = 32) -> Result:
    """Send requests at fixed times; a late answer does not delay the next request, and waiting counts as latency."""
    opened = await _connect(port, connections)
    free = deque(opened)
    late: deque[tuple[bytes, float]] = deque()
    run = _Run(len(requests))
    started = time.perf_counter()

    def send(connection: Connection, raw: bytes, due: float) -> None:
        def told(status: int) -> None:
            run.take(status, due)
            if late:
                send(connection, *late.popleft())
            else:
                free.append(connection)

        connection.send(raw, told)

    for number, raw in enumerate(requests):
        due = started + number / per_second
        wait = due - time.perf_counter()
        if wait > 0 or number % 64 == 0:  # answers are read also by a generator that is behind
            await asyncio.sleep(max(0.0, wait))
        if free:
            send(free.popleft(), raw, due)
        else:
            late.append((raw, due))
    try:
        return await run.result()
    finally:
        for connection in opened:
            connection.close()
