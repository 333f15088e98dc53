"""Our agent and a public one leave the same keys in Redis (spec: agent-monitor 6.1, 23 X1).

The player sends the public agent's calls byte by byte as section 6 describes them: its order of calls, its JSON
(compact, items of lists without kind, times rewritten), TERMINATING before DELETED. Ours watches a real API server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx
import orjson
import pytest
from redis.asyncio import Redis

from lab.kubernetes.apiserver import LocalApiServer
from lab.services.redis import EmbeddedRedis
from tests.support.agents import Cluster, access_of, agent_settings, eventually, running_agent
from tests.support.observe import AgentClient, MemoryInventory, RunningMonitor, monitor_settings, running_monitor

pytestmark = pytest.mark.service
_VOLATILE = ("last_heartbeat",)


@pytest.fixture
async def monitor(redis: Redis, redis_server: EmbeddedRedis) -> AsyncIterator[RunningMonitor]:
    inventory = MemoryInventory.of("gpu-1")
    settings = monitor_settings(redis_server.url, removal_grace_seconds=0)
    async with running_monitor(settings, inventory) as running:
        yield running


async def recorded(redis: Redis) -> dict[str, dict[str, Any]]:
    """Every public key, values as JSON where they are some, without what depends on the moment."""
    keys = sorted([key async for key in redis.scan_iter("clusters:*")])
    record: dict[str, dict[str, Any]] = {}
    for key in keys:
        fields = cast("dict[bytes, bytes]", await redis.hgetall(key))
        values = {name.decode(): value.decode() for name, value in fields.items() if name.decode() not in _VOLATILE}
        is_health = key.endswith(b":health")
        record[key.decode()] = values if is_health else {n: normal(orjson.loads(v)) for n, v in values.items()}
    return record


def normal(body: Any) -> Any:
    """An object without what legitimately differs: kind of lists and events, and the way times are written."""
    if isinstance(body, dict):
        return {
            k: normal(v) for k, v in body.items() if k not in {"kind", "apiVersion", "managedFields"} and v is not None
        }
    if isinstance(body, list):
        return [normal(item) for item in body]
    return body.replace("Z", "+00:00") if isinstance(body, str) and body[4:5] == "-" and body.endswith("Z") else body


class PublicAgent:
    """Plays the public agent's calls from what the API server says."""

    def __init__(self, calls: AgentClient, cluster: Cluster) -> None:
        self.calls = calls
        self.cluster = cluster

    async def list(self, path: str) -> list[dict[str, Any]]:
        return cast("list[dict[str, Any]]", (await self.cluster.http.get(path)).json()["items"])

    async def snapshot(self) -> bytes:
        space = self.cluster.namespace
        resources = {
            "deployments": await self.list(f"/apis/apps/v1/namespaces/{space}/deployments"),
            "services": await self.list(f"/api/v1/namespaces/{space}/services"),
            "pods": await self.list(f"/api/v1/namespaces/{space}/pods"),
            "nodes": await self.list("/api/v1/nodes"),
            "jobs": await self.list(f"/apis/batch/v1/namespaces/{space}/jobs"),
        }
        return orjson.dumps({"resources": rewritten(resources)})

    async def event(self, kind: str, body: dict[str, Any]) -> httpx.Response:
        full = {"apiVersion": "v1", "kind": "Pod", **body}
        return await self.calls.event(orjson.dumps({"event": {"type": kind, "object": rewritten(full)}}))

    async def beat(self) -> httpx.Response:
        return await self.calls.beat()


def rewritten(body: Any) -> Any:
    """Times as the public agent writes them."""
    if isinstance(body, dict):
        return {key: rewritten(value) for key, value in body.items()}
    if isinstance(body, list):
        return [rewritten(item) for item in body]
    return f"{body[:-1]}+00:00" if isinstance(body, str) and len(body) == 20 and body[-1] == "Z" else body


async def test_x1_both_agents_leave_the_same_keys(
    monitor: RunningMonitor, cluster: Cluster, api_server: LocalApiServer, redis: Redis, tmp_path: Path
) -> None:
    view = monitor.services.view
    await cluster.create_pod("kept", **{"chutes/deployment-id": "d1"})
    await cluster.create_service("s")
    gone = await cluster.create_pod("gone")
    settings = agent_settings(tmp_path, [cluster.namespace])
    async with running_agent(settings, access_of(api_server)) as agent:
        assert (await agent.start(monitor.url)).status_code == 200
        changed = await cluster.label_pod("kept", turn="2")
        added = await cluster.create_pod("added")
        await cluster.delete_pod("gone")
        await eventually(lambda: _settled(view, cluster), what="our agent's events")
        await eventually(lambda: _is_active(view), what="the heartbeat")
        ours = await recorded(redis)
        assert (await agent.stop()).status_code == 200
        await monitor.services.monitor.finish_removals(["gpu-1"])
        after_ours = await recorded(redis)

    async with AgentClient(monitor.url) as calls:
        player = PublicAgent(calls, cluster)
        earlier = orjson.loads(await player.snapshot())
        pods = earlier["resources"]["pods"]
        earlier["resources"]["pods"] = [pod for pod in pods if pod["metadata"]["name"] != "added"] + [rewritten(gone)]
        statuses = [
            (await calls.register(orjson.dumps(earlier))).status_code,
            (await player.beat()).status_code,
            (await player.event("MODIFIED", changed)).status_code,
            (await player.event("ADDED", added)).status_code,
            (await player.event("TERMINATING", gone)).status_code,
            (await player.event("DELETED", gone)).status_code,
            (await player.beat()).status_code,
        ]
        theirs = await recorded(redis)
        statuses.append((await calls.unregister()).status_code)
        await monitor.services.monitor.finish_removals(["gpu-1"])
        after_theirs = await recorded(redis)
    assert statuses == [200] * 8
    assert list(ours) == list(theirs)
    assert ours == theirs
    assert after_ours == after_theirs == {}


async def test_x1_a_public_agent_is_healed_in_every_trace_of_section_6(
    monitor: RunningMonitor, cluster: Cluster, redis: Redis
) -> None:
    await cluster.create_pod("kept")
    async with AgentClient(monitor.url) as calls:
        player = PublicAgent(calls, cluster)
        snapshot = await player.snapshot()
        assert (await calls.replace(snapshot)).status_code == 200, "agent pod restart, unknown to the monitor"
        assert (await player.beat()).status_code == 200
        assert (await calls.register(snapshot)).status_code == 200, "reconciler start: no 409, so no DELETE"
        assert (await player.beat()).status_code == 200
        await redis.flushall()
        trace = [await player.beat(), await calls.replace(snapshot), await player.beat()]
        assert [answer.status_code for answer in trace] == [404, 200, 200], "Redis flushed"
        await redis.hset("clusters:gpu-1:health", "state", "unhealthy")
        trace = [await player.beat(), await calls.replace(snapshot), await player.beat()]
        assert [answer.status_code for answer in trace] == [409, 200, 200], "marked unhealthy by a public consumer"


async def _settled(view: Any, cluster: Cluster) -> bool:
    reading = await view.read_cluster("gpu-1")
    cached = {item.name: (item.uid, item.resource_version) for item in reading.objects if item.kind == "pod"}
    return cached == await cluster.pods()


async def _is_active(view: Any) -> bool:
    return bool((await view.health("gpu-1")).state.value == "active")
