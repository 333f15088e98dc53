"""The monitor as agents see it, on a real Redis (spec: agent-monitor 7, 22 C25 to C33)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import cast

import httpx
import orjson
import pytest
from redis.asyncio import Redis

from app.observe.readings import ClusterState
from app.protocol.signing import Purpose, Signer
from lab.services.redis import EmbeddedRedis
from tests.support.kubernetes_objects import deployment, event, job, node, pod, service, snapshot
from tests.support.observe import (
    SIGNER,
    AgentClient,
    MemoryInventory,
    RunningMonitor,
    monitor_settings,
    running_monitor,
)

pytestmark = pytest.mark.service


@pytest.fixture
async def agent(monitor: RunningMonitor) -> AsyncIterator[AgentClient]:
    async with AgentClient(monitor.url) as client:
        yield client


async def fields(redis: Redis, kind: str, cluster: str = "gpu-1") -> set[str]:
    return {bytes(field).decode() for field in await redis.hkeys(f"clusters:{cluster}:resources:{kind}")}  # type: ignore[arg-type]


async def stored_health(redis: Redis) -> dict[str, str]:
    stored = cast("dict[bytes, bytes]", await redis.hgetall("clusters:gpu-1:health"))
    return {name.decode(): value.decode() for name, value in stored.items()}


async def test_c25_health_and_ping_answer_without_a_signature(monitor: RunningMonitor) -> None:
    async with httpx.AsyncClient(base_url=monitor.url, trust_env=False) as client:
        assert (await client.get("/health")).json() == {"status": "healthy", "service": "agent-monitor"}
        assert (await client.get("/ping")).json() == {"message": "pong"}
        assert (await client.get("/ready")).json() == {"ready": True, "problems": []}
        assert b"headframe_monitor_queue_depth" in (await client.get("/metrics")).content


async def test_a_monitor_whose_background_work_ended_asks_to_be_restarted(monitor: RunningMonitor) -> None:
    monitor.services.tasks.append(asyncio.create_task(asyncio.sleep(0)))
    await asyncio.wait([monitor.services.tasks[-1]])
    async with httpx.AsyncClient(base_url=monitor.url, trust_env=False) as client:
        assert (await client.get("/health")).status_code == 503
    monitor.services.tasks.pop()


async def test_c26_a_registration_stores_every_kind_under_the_public_keys(agent: AgentClient, redis: Redis) -> None:
    answer = await agent.register(snapshot([pod("a")], [job("j")], [service("s")], [deployment("d")], [node("gpu-1")]))
    assert (answer.status_code, answer.content) == (200, b"null")
    assert await fields(redis, "pod") == {"chutes:a"}
    assert await fields(redis, "job") == {"chutes:j"}
    assert await fields(redis, "service") == {"chutes:s"}
    assert await fields(redis, "deployment") == {"chutes:d"}
    assert await fields(redis, "node") == {"None:gpu-1"}
    health = await stored_health(redis)
    assert health.pop("last_heartbeat")[-6:] == "+00:00"
    assert health == {"cluster_name": "gpu-1", "state": "starting", "error_message": "", "heartbeat_failures": "0"}


async def test_c26_a_server_outside_the_inventory_is_404_and_nothing_is_written(
    monitor: RunningMonitor, redis: Redis
) -> None:
    async with AgentClient(monitor.url, "stranger") as agent:
        assert (await agent.register(snapshot([pod("a")]))).status_code == 404
        assert (await agent.replace(snapshot([pod("a")]))).status_code == 404
        assert (await agent.event(event("ADDED", pod("a")))).status_code == 404
        assert (await agent.beat()).status_code == 404
    assert [key async for key in redis.scan_iter("*stranger*")] == []


async def test_c26_an_inventory_that_does_not_answer_is_500_and_never_404(
    agent: AgentClient, inventory: MemoryInventory
) -> None:
    inventory.is_down = True
    assert (await agent.register(snapshot())).status_code == 500
    assert (await agent.replace(snapshot())).status_code == 500


async def test_c27_unregistering_answers_with_the_name_and_hides_nothing_yet(agent: AgentClient, redis: Redis) -> None:
    await agent.register(snapshot([pod("a")]))
    answer = await agent.unregister()
    assert answer.status_code == 200
    assert answer.json() == {"message": "Cluster gpu-1 unregistered successfully", "cluster_name": "gpu-1"}
    assert await fields(redis, "pod") == {"chutes:a"}
    assert await fields(redis, "node") == {"None:gpu-1"}
    assert (await agent.beat()).status_code == 404


async def test_c27_a_new_snapshot_cancels_a_removal(agent: AgentClient, monitor: RunningMonitor, redis: Redis) -> None:
    await agent.register(snapshot([pod("a")]))
    await agent.unregister()
    await agent.register(snapshot([pod("a")]))
    assert (await agent.beat()).status_code == 200
    assert await monitor.services.monitor.finish_removals(["gpu-1"]) == ()


async def test_c27_a_server_that_left_the_inventory_goes_at_once_with_its_nodes(
    agent: AgentClient, inventory: MemoryInventory, redis: Redis
) -> None:
    await agent.register(snapshot([pod("a")]))
    inventory.rows.clear()
    assert (await agent.unregister()).status_code == 200
    assert [key async for key in redis.scan_iter("*gpu-1*")] == []


async def test_c28_a_heartbeat_of_a_healthy_cluster_makes_it_active(agent: AgentClient, redis: Redis) -> None:
    await agent.register(snapshot())
    answer = await agent.beat()
    assert (answer.status_code, answer.json()) == (200, {"status": "success", "cluster_name": "gpu-1"})
    assert await redis.hget("clusters:gpu-1:health", "state") == b"active"


async def test_c28_a_heartbeat_of_an_unhealthy_cluster_is_409_until_a_snapshot_came(
    agent: AgentClient, monitor: RunningMonitor
) -> None:
    await agent.register(snapshot())
    await monitor.services.monitor.set_state("gpu-1", ClusterState.UNHEALTHY, "test")
    refused = await agent.beat()
    assert refused.status_code == 409
    assert "unhealthy state" in refused.json()["detail"]
    assert (await agent.replace(snapshot())).status_code == 200
    assert (await agent.beat()).status_code == 200


@pytest.mark.parametrize("state", [b"error", b"unhealthy", b"inactive"])
async def test_c28_a_heartbeat_cannot_make_a_cluster_unhealthy(agent: AgentClient, redis: Redis, state: bytes) -> None:
    await agent.register(snapshot())
    assert (await agent.beat(b'{"state":"' + state + b'"}')).status_code == 200
    assert await redis.hget("clusters:gpu-1:health", "state") == b"active"


async def test_c28_an_event_is_stored_and_announced_on_four_channels(agent: AgentClient, redis: Redis) -> None:
    await agent.register(snapshot())
    pubsub = redis.pubsub()
    channels = ("cluster:gpu-1:resources", "cluster:gpu-1:resources:pod", "resources:pod", "resources:all")
    await pubsub.subscribe(*channels)
    body = pod("a", 5)
    assert (await agent.event(event("ADDED", body))).json() == {"status": "success", "cluster_name": "gpu-1"}
    heard = {}
    async for message in pubsub.listen():
        if message["type"] == "message":
            heard[message["channel"].decode()] = orjson.loads(message["data"])
        if len(heard) == len(channels):
            break
    await pubsub.aclose()  # type: ignore[no-untyped-call]
    assert set(heard) == set(channels)
    for message in heard.values():
        assert (message["cluster"], message["event"]) == ("gpu-1", {"type": "ADDED", "object": body})
        assert message["timestamp"][19] == "."
        assert message["timestamp"].endswith("+00:00")
    assert orjson.loads(await redis.hget("clusters:gpu-1:resources:pod", "chutes:a") or b"") == body


async def test_c32_a_redis_that_is_gone_is_500_for_the_agent_and_the_event_is_asked_for_again(
    redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory, inventory: MemoryInventory
) -> None:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as own:
        async with running_monitor(monitor_settings(own.url), inventory) as monitor, AgentClient(monitor.url) as agent:
            assert (await agent.register(snapshot())).status_code == 200
            own.stop()
            assert (await agent.register(snapshot())).status_code == 500
            own.start()
            assert (await agent.event(event("ADDED", pod("a")))).status_code == 404
            assert (await agent.replace(snapshot([pod("a")]))).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"resources":null}',
        b'{"resources":{"pods":null}}',
        b'{"resources":{"pods":{}}}',
        b"\xff\xfe",
    ],
)
async def test_x15_a_body_that_is_no_snapshot_is_422(agent: AgentClient, body: bytes) -> None:
    assert (await agent.register(body)).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"event":{}}',
        b'{"event":{"object":{"kind":"Pod","metadata":{"name":"a"}}}}',
        b'{"event":{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"name":"a"}}}}',
        b'{"event":{"type":"ADDED","object":{"metadata":{"name":"a"}}}}',
        b'{"event":{"type":"ADDED","object":{"kind":"ConfigMap","metadata":{"name":"a"}}}}',
        b'{"event":{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":7}}}}',
        b'{"event":{"type":"ADDED","object":null}}',
    ],
)
async def test_a_body_that_is_no_event_is_422(agent: AgentClient, body: bytes) -> None:
    await agent.register(snapshot())
    assert (await agent.event(body)).status_code == 422


async def test_one_unreadable_object_does_not_lose_the_others_nor_delete_any(agent: AgentClient, redis: Redis) -> None:
    await agent.register(snapshot([pod("a"), pod("b")]))
    broken = orjson.loads(snapshot([pod("b", 2)]))
    broken["resources"]["pods"].append({"metadata": {"name": ["no", "name"]}})
    assert (await agent.replace(orjson.dumps(broken))).status_code == 200
    assert await fields(redis, "pod") == {"chutes:a", "chutes:b"}


async def test_unknown_lists_of_a_snapshot_are_ignored_and_missing_ones_are_empty(agent: AgentClient) -> None:
    assert (await agent.register(b'{"resources":{"configmaps":[1]},"more":1}')).status_code == 200


async def test_x10_whatever_is_wrong_with_the_signature_the_answer_is_the_same_401(agent: AgentClient) -> None:
    body = snapshot()
    good = SIGNER.management_headers(str(int(time.time())), body=body)
    late = SIGNER.management_headers(str(int(time.time()) - 31), body=body)
    ahead = SIGNER.management_headers(str(int(time.time()) + 40), body=body)
    stranger = Signer.from_seed("11" * 32).management_headers(str(int(time.time())), body=body)
    bad = [
        {},
        {name: value for name, value in good.items() if name != "X-Chutes-Nonce"},
        good | {"X-Chutes-Nonce": "soon"},
        good | {"X-Chutes-Nonce": "1" * 400},
        good | {"X-Chutes-Signature": "zz"},
        good | {"X-Chutes-Signature": "0x" + good["X-Chutes-Signature"]},
        good | {"X-Chutes-Signature": "00" * 64},
        good | {"X-Chutes-Sig-Version": "9"},
        SIGNER.management_headers(str(int(time.time())), purpose=Purpose.MONITORING),
        late,
        ahead,
        stranger,
    ]
    for headers in bad:
        for method, path in (("POST", ""), ("PUT", "/resources"), ("PATCH", "/resources"), ("PUT", "/health")):
            answer = await agent.http.request(method, f"/api/v1/clusters/gpu-1{path}", content=body, headers=headers)
            assert (answer.status_code, answer.json()) == (401, {"detail": "go away (missing)"})


async def test_x10_a_signature_works_once(agent: AgentClient) -> None:
    body = snapshot()
    headers = SIGNER.management_headers(str(int(time.time())), body=body)
    first = await agent.http.post("/api/v1/clusters/gpu-1", content=body, headers=headers)
    second = await agent.http.post("/api/v1/clusters/gpu-1", content=body, headers=headers)
    elsewhere = await agent.http.put("/api/v1/clusters/gpu-2/resources", content=body, headers=headers)
    assert [first.status_code, second.status_code, elsewhere.status_code] == [200, 401, 401]


async def test_t13_the_dashboard_is_closed_to_the_unsigned_and_shows_no_environment(agent: AgentClient) -> None:
    await agent.register(snapshot([pod("a")]))
    for path in ("/clusters", "/clusters/details", "/clusters/resources", "/overview"):
        assert (await agent.http.get(f"/api/v1/monitoring{path}")).status_code == 401
        answer = await agent.dashboard(path)
        assert answer.status_code == 200
        assert b"made-up" not in answer.content
    listed = (await agent.dashboard("/clusters/resources", resource_type="pod")).json()
    assert listed["clusters"][0]["count"] == 1
    assert (await agent.dashboard("/clusters/resources", resource_type="egg")).status_code == 400
    assert (await agent.dashboard("/clusters/details", cluster_name="nobody")).status_code == 404
    overview = (await agent.dashboard("/overview")).json()
    assert overview["health_summary"]["starting_clusters"] == 1
    assert overview["total_resources"] == {"node": 1, "deployment": 0, "service": 0, "pod": 1, "job": 0}


async def test_the_strict_switch_restores_the_public_409_and_410(
    redis: Redis, redis_server: EmbeddedRedis, inventory: MemoryInventory
) -> None:
    settings = monitor_settings(redis_server.url, strict_registration=True)
    async with running_monitor(settings, inventory) as monitor, AgentClient(monitor.url) as agent:
        assert (await agent.replace(snapshot())).status_code == 410
        assert (await agent.register(snapshot())).status_code == 200
        assert (await agent.register(snapshot())).status_code == 409


async def test_graves_of_objects_do_not_gather_while_a_cluster_needs_no_list(
    monitor: RunningMonitor, agent: AgentClient, redis: Redis
) -> None:
    """A cluster that is followed well gets events for months, and no list."""
    graves = "headframe:observe:cluster:gpu-1:tombstones"
    await agent.register(snapshot([pod("a", 3), pod("b", 4)]))
    for name, version in (("a", 5), ("b", 6)):
        await agent.event(event("DELETED", pod(name, version)))
    buried = cast("dict[bytes, bytes]", await redis.hgetall(graves))
    assert len(buried) == 2
    old, recent = sorted(buried)
    await redis.hset(graves, old, b"5 1000")
    await monitor.services.monitor.confirm("gpu-1")
    assert [bytes(uid) for uid in await redis.hkeys(graves)] == [recent]  # type: ignore[arg-type]
