"""A small load generator: raw HTTP/1.1 over kept connections, requests signed beforehand, latencies per request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """What a run measured. Latencies are in seconds, sorted."""

    answered: int
    refused: int
    elapsed_seconds: float
    latencies: tuple[float, ...]

    def percentile_ms(self, share: float) -> float:
        """A latency percentile in milliseconds."""
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))] * 1000


def request(path: str, headers: dict[str, str]) -> bytes:
    """The bytes of one GET."""
    lines = [f"GET {path} HTTP/1.1", "Host: bench", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Connection:
    """One kept connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, raw: bytes) -> int:
        """Send a request and read its whole answer; gives the status."""
        self._writer.write(raw)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await self._reader.readexactly(length)
        return int(head[9:12])

    def close(self) -> None:
        self._writer.close()


async def saturate(port: int, requests: Sequence[bytes], connections: int) -> Result:
    """Send all requests as fast as they are answered."""
    pending = iter(requests)
    latencies: list[float] = []
    refused = 0

    async def work() -> None:
        nonlocal refused
        connection = await Connection.open(port)
        for raw in pending:
            sent = time.perf_counter()
            refused += await connection.send(raw) != 200
            latencies.append(time.perf_counter() - sent)
        connection.close()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            tasks.create_task(work())
    return Result(len(latencies), refused, time.perf_counter() - started, tuple(sorted(latencies)))


async def paced(port: int, requests: Sequence[bytes], per_second: float, connections: int = 16) -> Result:
    """Send requests at fixed times; a late answer does not delay the next request, and waiting counts as latency."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        free.put_nowait(await Connection.open(port))
    latencies: list[float] = []
    refused = 0
    started = time.perf_counter()

    async def one(raw: bytes, due: float) -> None:
        nonlocal refused
        connection = await free.get()
        refused += await connection.send(raw) != 200
        free.put_nowait(connection)
        latencies.append(time.perf_counter() - due)

    async with asyncio.TaskGroup() as tasks:
        for number, raw in enumerate(requests):
            due = started + number / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(one(raw, due))
    elapsed = time.perf_counter() - started
    while not free.empty():
        free.get_nowait().close()
    return Result(len(latencies), refused, elapsed, tuple(sorted(latencies)))
