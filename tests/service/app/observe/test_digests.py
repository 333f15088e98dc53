"""Events that were lost without a trace are found by digests and repaired by lists of their kind alone (20.4)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import orjson
import pytest
from redis.asyncio import Redis

from app.protocol.channels import ResourceType
from app.protocol.digests import digest_of, encode_digests
from lab.services.redis import EmbeddedRedis
from tests.support.faults import StandingClock
from tests.support.kubernetes_objects import Json, event, job, node, pod, snapshot
from tests.support.observe import AgentClient, MemoryInventory, RunningMonitor, monitor_settings, running_monitor

pytestmark = pytest.mark.service
_STATE = "headframe:observe:cluster:gpu-1:state"


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
async def monitor(redis: Redis, redis_server: EmbeddedRedis, clock: StandingClock) -> AsyncIterator[RunningMonitor]:
    async with running_monitor(monitor_settings(redis_server.url), MemoryInventory.of("gpu-1"), clock) as running:
        yield running


@pytest.fixture
async def agent(monitor: RunningMonitor, clock: StandingClock) -> AsyncIterator[AgentClient]:
    async with AgentClient(monitor.url, agent="headframe/1", now=clock) as client:
        yield client


async def wanted(agent: AgentClient, *objects: Json) -> str | None:
    """What the monitor asks for when the agent has told these objects."""
    by_kind: dict[ResourceType, list[tuple[str, str]]] = {kind: [] for kind in ResourceType}
    for body in objects:
        metadata = body["metadata"]
        by_kind[ResourceType(body["kind"].lower())].append((metadata["uid"], metadata["resourceVersion"]))
    header = encode_digests({kind: digest_of(known) for kind, known in by_kind.items()})
    answer = await agent.beat(headers={"X-Agent-Digest": header})
    assert answer.status_code == 200
    return cast("str | None", answer.headers.get("X-Monitor-Resync"))


def part(kinds: list[str], **lists: list[Json]) -> bytes:
    return orjson.dumps({"resources": lists, "kinds": kinds})


async def test_equal_knowledge_is_asked_for_nothing(agent: AgentClient) -> None:
    await agent.register(snapshot([pod("a")]))
    await agent.event(event("MODIFIED", pod("a", 2)))
    assert [await wanted(agent, pod("a", 2), node()) for _ in range(3)] == [None, None, None]


async def test_a_difference_that_lasts_is_asked_for_once_a_minute(agent: AgentClient, clock: StandingClock) -> None:
    await agent.register(snapshot([pod("a")], [job("j")]))
    told = (pod("a", 2), job("j"), node())
    assert [await wanted(agent, *told) for _ in range(3)] == [None, "pod", None]
    clock.offset = 61
    await agent.replace(snapshot([pod("a")], [job("j")]))
    assert await wanted(agent, *told) == "pod"


async def test_a_difference_that_passes_is_forgotten(agent: AgentClient) -> None:
    await agent.register(snapshot([pod("a")]))
    readings = [await wanted(agent, pod("a", version), node()) for version in (2, 1, 2, 1)]
    assert readings == [None] * 4


async def test_a_list_of_one_kind_repairs_it_and_touches_no_other(agent: AgentClient, redis: Redis) -> None:
    await agent.register(snapshot([pod("a"), pod("lost"), pod("gone")], [job("j")]))
    await redis.hset(_STATE, "dirty", "a reason of its own")
    await redis.hset(_STATE, "resync_at_ms", str(10**15))
    generation = await redis.hget(_STATE, "generation")
    await redis.hdel("clusters:gpu-1:resources:pod", "chutes:lost")
    told = (pod("a", 2), pod("lost"), job("j"), node())
    assert [await wanted(agent, *told) for _ in range(2)] == [None, "pod"]
    answer = await agent.replace(part(["pod"], pods=[pod("a", 2), pod("lost")]))
    assert answer.status_code == 200
    assert await wanted(agent, *told) is None
    assert await redis.hkeys("clusters:gpu-1:resources:job") == [b"chutes:j"]
    assert await redis.hget(_STATE, "generation") == generation
    assert await redis.hexists(_STATE, "dirty")
    assert await redis.hget("clusters:gpu-1:health", "state") == b"active"


async def test_a_list_that_was_asked_for_takes_back_versions_that_were_too_high(agent: AgentClient) -> None:
    """After a restore of a cluster's datastore versions begin lower than the cache remembers."""
    await agent.register(snapshot([pod("a", 900)]))
    told = (pod("a", 7), node())
    assert [await wanted(agent, *told) for _ in range(2)] == [None, "pod"]
    await agent.replace(part(["pod"], pods=[pod("a", 7)]))
    assert await wanted(agent, *told) is None


async def test_a_partial_list_that_shrinks_too_much_is_held_like_any_other(agent: AgentClient, redis: Redis) -> None:
    await agent.register(snapshot([pod(f"p{n}") for n in range(9)]))
    assert (await agent.replace(part(["pod"], pods=[]))).status_code == 200
    assert await redis.hlen("clusters:gpu-1:resources:pod") == 9


async def test_a_partial_list_brings_no_cluster_into_being(agent: AgentClient, redis: Redis) -> None:
    assert (await agent.replace(part(["pod"], pods=[pod("a")]))).status_code == 410
    assert [key async for key in redis.scan_iter("*gpu-1*")] == []
    assert (await agent.replace(part(["egg"]))).status_code == 422


async def test_equal_digests_are_as_good_as_a_complete_list_once_a_minute(
    agent: AgentClient, monitor: RunningMonitor, clock: StandingClock
) -> None:
    await agent.register(snapshot([pod("a")]))
    view, generations = monitor.services.view, []
    for offset, objects in ((0, (pod("a"), node())), (61, (pod("a"), node())), (70, (pod("a"), node())), (140, ())):
        clock.offset = offset
        await wanted(agent, *objects)
        generations.append((await view.read_cluster("gpu-1")).generation)
    first, second, third, fourth = generations
    assert first < second == third == fourth
    assert (await view.read_cluster("gpu-1")).age_seconds == pytest.approx(79, abs=0.01)


async def test_a_followed_cluster_is_not_compared(monitor: RunningMonitor, agent: AgentClient) -> None:
    await agent.register(snapshot([pod("a")]))
    monitor.services.clusters.digests._is_followed = lambda _: True
    assert [await wanted(agent, node()) for _ in range(2)] == [None, None]
