"""Direct informers on a real API server: confirm, repair, replace agents (spec: agent-monitor 20.2, 23 X8)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import cast

import httpx
import orjson
import pytest
from redis.asyncio import Redis

from app.observe.antientropy import divergences
from app.observe.entries import KnownObject
from app.observe.inventory import Server
from app.observe.planning import KnownKind
from app.observe.readings import ClusterState
from app.observe.settings import ObservationMode
from app.protocol.channels import ResourceType
from app.protocol.kubernetes_reads import Collection, Listing
from lab.kubernetes.apiserver import LocalApiServer
from lab.services.redis import EmbeddedRedis
from tests.support.agents import Cluster, eventually, own_cluster, portable_kubeconfig
from tests.support.kubernetes_objects import parsed, pod, snapshot
from tests.support.observe import AgentClient, MemoryInventory, RunningMonitor, monitor_settings, running_monitor

pytestmark = pytest.mark.service


@pytest.fixture
async def cluster(api_server: LocalApiServer) -> AsyncIterator[Cluster]:
    async with own_cluster(api_server, "chutes") as made:
        for name in await made.pods():
            await made.delete_pod(name)
        await made.http.post("/api/v1/nodes", content=orjson.dumps({"metadata": {"name": "gpu-1"}}))
        yield made
        for name in await made.pods():
            await made.delete_pod(name)
        await made.http.delete("/api/v1/nodes/gpu-1")


@pytest.fixture
def inventory(api_server: LocalApiServer) -> MemoryInventory:
    return MemoryInventory([Server("gpu-1", None, portable_kubeconfig(api_server, "gpu-1"))])


async def equal(monitor: RunningMonitor, cluster: Cluster) -> bool:
    reading = await monitor.services.view.read_cluster("gpu-1", [ResourceType.POD])
    cached = {item.name: (item.uid, item.resource_version) for item in reading.objects}
    return reading.health.is_healthy and cached == await cluster.pods()


async def test_pull_needs_no_agent(
    redis: Redis, redis_server: EmbeddedRedis, inventory: MemoryInventory, cluster: Cluster
) -> None:
    await cluster.create_pod("a")
    settings = monitor_settings(redis_server.url, observation_mode=ObservationMode.PULL, heartbeat_interval=1)
    async with running_monitor(settings, inventory) as monitor:
        await eventually(lambda: equal(monitor, cluster))
        await cluster.create_pod("b")
        await cluster.label_pod("a", turn="2")
        await eventually(lambda: equal(monitor, cluster))
        await cluster.delete_pod("a")
        await eventually(lambda: equal(monitor, cluster))
        assert (await monitor.services.view.health("gpu-1")).state is ClusterState.ACTIVE
        await redis.flushall()
        await eventually(lambda: equal(monitor, cluster))


async def test_both_repairs_what_agents_lost_and_confirms_what_they_only_suggest(
    redis: Redis, redis_server: EmbeddedRedis, inventory: MemoryInventory, cluster: Cluster
) -> None:
    for number in range(6):
        await cluster.create_pod(f"p{number}")
    settings = monitor_settings(redis_server.url, anti_entropy_seconds=1, observation_mode="both")
    async with running_monitor(settings, inventory) as monitor, AgentClient(monitor.url) as agent:
        assert await redis.exists("clusters:gpu-1:health") == 0
        await agent.register(snapshot([], nodes=[]))
        await eventually(lambda: equal(monitor, cluster), what="a partial snapshot to be filled up")
        await agent.replace(snapshot([], nodes=[]))
        assert await equal(monitor, cluster), "an empty list must not take anything away"
        for number in range(6):
            await cluster.delete_pod(f"p{number}")
        await eventually(lambda: equal(monitor, cluster), what="everything to go that is gone")


async def test_anti_entropy_finds_and_repairs_what_no_event_will_tell(
    redis: Redis, redis_server: EmbeddedRedis, inventory: MemoryInventory, cluster: Cluster
) -> None:
    await cluster.create_pod("a")
    await cluster.create_pod("b")
    settings = monitor_settings(
        redis_server.url, heartbeat_interval=30, anti_entropy_seconds=1, observation_mode="both"
    )
    async with running_monitor(settings, inventory) as monitor, AgentClient(monitor.url) as agent:
        await agent.register(snapshot([], nodes=[]))
        await eventually(lambda: equal(monitor, cluster))
        generation = (await monitor.services.view.read_cluster("gpu-1")).generation
        await redis.hset("headframe:observe:cluster:gpu-1:state", "completed_ms", "0")
        await eventually(lambda: _newer(monitor, generation), what="a look that finds no difference to count as a list")
        await redis.hdel("clusters:gpu-1:resources:pod", "chutes:a")
        entries = "headframe:observe:cluster:gpu-1:entries:pod"
        entry = cast("bytes", await redis.hget(entries, "chutes:b"))
        uid, _, rest = entry.split(b"\n", 2)
        await redis.hset(entries, "chutes:b", b"\n".join([uid, b"999999999", rest]).decode())
        await redis.hset("clusters:gpu-1:resources:pod", "chutes:ghost", orjson.dumps(pod("ghost")))
        await eventually(lambda: equal(monitor, cluster), what="the differences to be repaired")
        await eventually(lambda: _absent(redis), what="the ghost to go")
        assert await _absent(redis)


async def test_x8_an_api_server_that_cannot_be_reached_changes_nothing(
    redis: Redis, redis_server: EmbeddedRedis, api_server: LocalApiServer
) -> None:
    text = portable_kubeconfig(api_server, "gpu-1", url="https://127.0.0.1:1")
    inventory = MemoryInventory([Server("gpu-1", None, text), Server("gpu-2", None, "no kubeconfig")])
    settings = monitor_settings(redis_server.url, observation_mode=ObservationMode.BOTH, heartbeat_interval=1)
    async with running_monitor(settings, inventory) as monitor, AgentClient(monitor.url) as agent:
        await agent.register(snapshot([pod("a")]))
        inventory.is_down = True
        async with httpx.AsyncClient(base_url=monitor.url) as client:
            assert (await client.get("/ready")).status_code == 503
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            assert (await agent.beat()).status_code == 200
            assert len((await monitor.services.view.read_cluster("gpu-1")).objects) == 2


def test_divergences_are_what_one_side_lacks_or_has_otherwise() -> None:
    collection = Collection(ResourceType.POD, "chutes")
    listing = Listing(
        collection, "9", tuple(parsed(pod(name, 5), ResourceType.POD) for name in ("same", "new", "uid", "old"))
    )
    entries = {
        "chutes:same": KnownObject("uid-Pod-same", "5", 0),
        "chutes:uid": KnownObject("another", "5", 0),
        "chutes:old": KnownObject("uid-Pod-old", "4", 0),
        "chutes:ghost": KnownObject("uid-Pod-ghost", "5", 0),
    }
    found = divergences({ResourceType.POD: listing}, {ResourceType.POD: KnownKind(entries, frozenset(entries))})
    assert {name for _, name in found} == {"chutes:new", "chutes:uid", "chutes:old", "chutes:ghost"}


async def _newer(monitor: RunningMonitor, generation: int) -> bool:
    return (await monitor.services.view.read_cluster("gpu-1")).generation > generation


async def _absent(redis: Redis) -> bool:
    return not await redis.hexists("clusters:gpu-1:resources:pod", "chutes:ghost")
