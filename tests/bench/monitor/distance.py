"""An agent far away: a TCP relay that delays both directions, and our agent's real queue and sender behind it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson

from agent.watch.client import MonitorClient
from agent.watch.metrics import AgentMetrics
from agent.watch.session import Collected, Session
from app.protocol.monitoring import BATCH_EVENTS, BATCH_FEATURE
from app.protocol.objects import EventType, ObjectEvent
from app.protocol.signing import Signer
from tests.support.kubernetes_objects import parsed, pod

_PER_SECOND = 200


@asynccontextmanager
async def distant(port: int, delay_seconds: float) -> AsyncIterator[int]:
    """The port of a relay to another port; every piece of data arrives later by the delay, in order."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(65536):
            loop.call_later(delay_seconds, writer.write, data)
        loop.call_later(delay_seconds, writer.close)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def send_steadily(port: int, signer: Signer, pubsub: Any, told: dict[str, float], seconds: int) -> list[float]:
    """From handing an event to the agent's queue to its announcement by the cache, for every event."""
    count = _PER_SECOND * seconds
    latencies: list[float] = []

    async def listen() -> None:
        async for message in pubsub.listen():
            if message["type"] == "message":
                name = orjson.loads(message["data"])["event"]["object"]["metadata"]["name"]
                latencies.append(time.perf_counter() - told[name])
                if len(latencies) == count:
                    return

    async with MonitorClient(f"http://127.0.0.1:{port}", "gpu-0", signer) as client, httpx.AsyncClient() as kubernetes:
        client.features = frozenset({BATCH_FEATURE})
        session = Session(kubernetes, client, Collected(()), AgentMetrics(), time.time, 30)
        sending = asyncio.create_task(session._send(BATCH_EVENTS))
        listening = asyncio.create_task(listen())
        started = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(0.0, started + number / _PER_SECOND - time.perf_counter()))
            name = f"far{number}"
            told[name] = time.perf_counter()
            session.queue.put(ObjectEvent(EventType.ADDED, parsed(pod(name, 10_000_000 + number, size=4_000))))
        async with asyncio.timeout(60):
            await listening
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    return latencies
