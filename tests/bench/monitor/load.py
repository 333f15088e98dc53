"""Load on a monitor: requests signed beforehand, sent over plain sockets, so that the client costs little."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from app.protocol.signing import Signer


@dataclass(frozen=True)
class Timing:
    """What a run of requests took. Times in seconds, sorted."""

    seconds: float
    latencies: tuple[float, ...]

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile_ms(self, share: float) -> float:
        """The latency that this share of requests stayed under, in milliseconds."""
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))] * 1000


def request(signer: Signer, method: str, path: str, body: bytes) -> bytes:
    """One signed HTTP request as bytes."""
    headers = signer.management_headers(str(int(time.time())), body=body)
    lines = [f"{method} {path} HTTP/1.1", "Host: monitor", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Connection:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, data: bytes) -> int:
        """Send one request and read its answer; the status."""
        self._writer.write(data)
        await self._writer.drain()
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await self._reader.readexactly(length)
        return int(head[9:12])

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def run_load(port: int, requests: Sequence[bytes], clients: int, per_second: float | None = None) -> Timing:
    """Send all requests over so many connections, as fast as they are answered or at a given rate.

    At a rate, latencies count from when a request was due: one that had to wait for its connection waited for the
    monitor.

    Raises:
        RuntimeError: an answer was not 200.
    """
    connections = [await Connection.open(port) for _ in range(clients)]
    latencies: list[float] = []
    started = time.perf_counter()

    async def one(place: int) -> None:
        for number in range(place, len(requests), clients):
            before = time.perf_counter()
            if per_second is not None:
                due = started + number / per_second
                await asyncio.sleep(max(0.0, due - before))
                before = due
            status = await connections[place].send(requests[number])
            latencies.append(time.perf_counter() - before)
            if status != 200:
                raise RuntimeError(f"the monitor answered {status}")

    async with asyncio.TaskGroup() as tasks:
        for place in range(clients):
            tasks.create_task(one(place))
    seconds = time.perf_counter() - started
    for connection in connections:
        await connection.close()
    return Timing(seconds, tuple(sorted(latencies)))
