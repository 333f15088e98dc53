"""Our agent and our monitor find and repair by themselves what neither an event nor a list will tell (20.4)."""

from __future__ import annotations

import orjson
import pytest
from redis.asyncio import Redis

from lab.services.redis import EmbeddedRedis
from tests.support.agents import Cluster, RunningAgent, eventually
from tests.support.fake_monitor import Call, fake_monitor
from tests.support.observe import MemoryInventory, monitor_settings, running_monitor

pytestmark = pytest.mark.service


async def test_what_the_cache_lost_is_sent_again_as_one_list_of_its_kind(
    agent: RunningAgent, cluster: Cluster, redis: Redis, redis_server: EmbeddedRedis
) -> None:
    await cluster.create_pod("kept")
    lost = await cluster.create_pod("lost")
    async with running_monitor(monitor_settings(redis_server.url), MemoryInventory.of("gpu-1")) as monitor:
        assert (await agent.start(monitor.url)).status_code == 200
        field = f"{cluster.namespace}:lost"
        await redis.hdel("clusters:gpu-1:resources:pod", field)
        await eventually(lambda: _holds(redis, field, lost["metadata"]["uid"]), what="the lost pod to return")
        assert agent.lifecycle._parts.metrics.snapshots._value.get() == 1
        assert agent.lifecycle._parts.metrics.partial_lists._value.get() >= 1
        assert await agent.state() == "running"


async def test_a_monitor_without_the_feature_gets_no_digest(agent: RunningAgent) -> None:
    async with fake_monitor() as monitor:
        await agent.start(monitor.url)
        await eventually(lambda: _beats(monitor.names(), 2))
        assert not any("x-agent-digest" in call.headers for call in monitor.calls)


async def test_while_something_waits_to_be_sent_no_digest_is_given(agent: RunningAgent) -> None:
    async with fake_monitor() as monitor:
        monitor.headers["X-Monitor-Features"] = "batch, digest"
        await agent.start(monitor.url)
        session = agent.lifecycle._session
        assert session is not None
        await eventually(lambda: _beats(monitor.names(), 2))
        assert session._digests() == session.told.header != ""
        async with session._sending:
            assert session._digests() == ""


@pytest.mark.parametrize("status", [500, 410])
async def test_a_list_that_was_asked_for_and_cannot_be_delivered_is_no_end(agent: RunningAgent, status: int) -> None:
    async with fake_monitor(replace=[status, 200]) as monitor:
        monitor.headers |= {"X-Monitor-Features": "batch,digest", "X-Monitor-Resync": "pod"}
        await agent.start(monitor.url)
        await eventually(lambda: _replaced(monitor.calls, 2))
        bodies = [call.body for call in monitor.calls if call.name == "replace"]
        assert bodies[0]["kinds"] == ["pod"]
        assert ("kinds" in bodies[1]) is (status == 500), "410 asks for everything"
        await eventually(lambda: _is_running(agent))


async def _holds(redis: Redis, field: str, uid: str) -> bool:
    body = await redis.hget("clusters:gpu-1:resources:pod", field)
    return body is not None and bool(orjson.loads(body)["metadata"]["uid"] == uid)


async def _beats(names: list[str], least: int) -> bool:
    return names.count("heartbeat") >= least


async def _replaced(calls: list[Call], least: int) -> bool:
    return sum(call.name == "replace" for call in calls) >= least


async def _is_running(agent: RunningAgent) -> bool:
    return await agent.state() == "running"
