"""What a session decides about deletions and refused events (spec: agent-monitor 22 C18, C19)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import httpx
import orjson
import pytest

from agent.watch import session as session_module
from agent.watch.client import MonitorClient, MonitorError
from agent.watch.coalescing import Pending
from agent.watch.metrics import AgentMetrics
from agent.watch.session import Collected, ResyncNeededError, Session
from app.protocol.objects import EventType, ObjectEvent
from tests.support.kubernetes_objects import parsed, pod


def made(kubernetes: httpx.AsyncClient) -> Session:
    monitor = cast("MonitorClient", SimpleNamespace(is_single=False, takes_batches=True))
    return Session(kubernetes, monitor, Collected(()), AgentMetrics(), lambda: 0.0, 30)


@pytest.fixture
async def kubernetes() -> AsyncIterator[httpx.AsyncClient]:
    """An API server that shows the object twice, fails once, and then no longer has it."""
    answers = iter([httpx.Response(200, content=orjson.dumps(pod("a"))), httpx.Response(503)])
    transport = httpx.MockTransport(lambda _: next(answers, httpx.Response(404)))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


async def test_c18_an_object_told_as_deleted_and_still_there_is_terminating_and_deleted_once_when_gone(
    kubernetes: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "_POLL_SECONDS", 0.01)
    session = made(kubernetes)
    item = parsed(pod("a"))
    async with asyncio.TaskGroup() as tasks:
        session._tasks = tasks
        await session.on_event(ObjectEvent(EventType.DELETED, item))
        first = await session.queue.take(1)
        assert first[0].event == ObjectEvent(EventType.TERMINATING, item)
        session.queue.done(first)
    last = await session.queue.take(1)
    assert last[0].event == ObjectEvent(EventType.DELETED, item)
    assert len(session.queue) == 0


@pytest.mark.parametrize("status", [404, 409, 410])
async def test_a_monitor_that_does_not_know_the_cluster_gets_a_list(kubernetes: httpx.AsyncClient, status: int) -> None:
    with pytest.raises(ResyncNeededError):
        made(kubernetes)._not_sent([], MonitorError("PATCH", status, ""))


async def test_a_batch_that_cannot_be_read_is_sent_singly_from_then_on(kubernetes: httpx.AsyncClient) -> None:
    session = made(kubernetes)
    pending = [Pending(ObjectEvent(EventType.ADDED, parsed(pod(name)))) for name in ("a", "b")]
    with pytest.raises(ResyncNeededError, match="singly"):
        session._not_sent(pending, MonitorError("POST", 422, ""))
    assert session.monitor.is_single


async def test_an_event_that_is_refused_again_and_again_ends_in_a_list(kubernetes: httpx.AsyncClient) -> None:
    session = made(kubernetes)
    pending = [Pending(ObjectEvent(EventType.ADDED, parsed(pod("a"))), refusals=6)]
    with pytest.raises(ResyncNeededError, match="6 times"):
        session._not_sent(pending, MonitorError("PATCH", 500, ""))
