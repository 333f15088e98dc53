"""A body that does not arrive is not waited for without end, and keeps no other agent from telling what it has."""

from __future__ import annotations

import asyncio
import contextlib
import time
from urllib.parse import urlsplit

import pytest

from app.observe.api import requests
from tests.support.kubernetes_objects import snapshot
from tests.support.observe import SIGNER, AgentClient, RunningMonitor

pytestmark = pytest.mark.service


async def half_open(url: str, streams: contextlib.AsyncExitStack) -> asyncio.StreamReader:
    """A snapshot whose sender lost its power after the first bytes."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    streams.callback(writer.close)
    headers = SIGNER.management_headers(str(int(time.time())), body=b"whatever")
    lines = ["POST /api/v1/clusters/gpu-2 HTTP/1.1", "Host: monitor", "Content-Length: 1000000"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write(("\r\n".join(lines) + '\r\n\r\n{"resources":').encode())
    await writer.drain()
    return reader


async def test_snapshots_that_stop_half_way_take_no_other_agents_turn(monitor: RunningMonitor) -> None:
    async with contextlib.AsyncExitStack() as streams:
        for _ in range(8):
            await half_open(monitor.url, streams)
        await asyncio.sleep(0.2)
        async with AgentClient(monitor.url) as agent, asyncio.timeout(10):
            assert (await agent.register(snapshot())).status_code == 200


async def test_a_body_that_does_not_arrive_is_408(monitor: RunningMonitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "BODY_SECONDS", 0.2)
    async with contextlib.AsyncExitStack() as streams, asyncio.timeout(10):
        answer = await (await half_open(monitor.url, streams)).readline()
    assert b" 408 " in answer


async def test_bodies_of_strangers_take_no_more_than_their_share_and_give_it_back(
    monitor: RunningMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "UNVERIFIED_BYTES", 2000)
    async with AgentClient(monitor.url) as agent:
        for _ in range(3):
            assert (await agent.register(b" " * 3000)).status_code == 503
            assert (await agent.register(snapshot())).status_code == 200
