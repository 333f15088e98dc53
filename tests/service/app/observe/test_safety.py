"""What the cache never does: show too little, believe late words, delete without proof (spec: agent-monitor 21, 23)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import cast

import orjson
import pytest
from redis.asyncio import Redis

from app.observe.health import HealthChecker
from app.observe.readings import ClusterState, ObservationUnavailableError
from app.protocol.channels import ResourceType
from lab.services.redis import EmbeddedRedis
from tests.support.agents import eventually
from tests.support.faults import StandingClock
from tests.support.kubernetes_objects import Json, event, job, node, pod, snapshot
from tests.support.observe import AgentClient, MemoryInventory, RunningMonitor, monitor_settings, running_monitor

pytestmark = pytest.mark.service
OWN = "headframe/1"


@pytest.fixture
async def agent(monitor: RunningMonitor) -> AsyncIterator[AgentClient]:
    async with AgentClient(monitor.url, agent=OWN) as client:
        yield client


async def stored(redis: Redis, name: str = "a", kind: str = "pod") -> Json | None:
    body = cast("bytes | None", await redis.hget(f"clusters:gpu-1:resources:{kind}", f"chutes:{name}"))
    return None if body is None else cast("Json", orjson.loads(body))


async def names(redis: Redis, key: str) -> set[str]:
    fields = cast("list[bytes]", await redis.hkeys(key))
    return {field.decode().removeprefix("chutes:") for field in fields}


async def test_x3_no_reader_misses_an_object_while_a_cluster_registers_again_and_again(
    agent: AgentClient, redis: Redis
) -> None:
    await agent.register(snapshot([pod(f"p{n}") for n in range(300)], [job("j")]))
    stop = asyncio.Event()
    reads = 0

    async def read() -> None:
        nonlocal reads
        while not stop.is_set():
            assert await redis.hlen("clusters:gpu-1:resources:pod") == 300
            assert await redis.hlen("clusters:gpu-1:resources:node") == 1
            assert await redis.exists("clusters:gpu-1:health") == 1
            reads += 1

    reader = asyncio.create_task(read())
    version = 1
    # As many rounds as fifty reads need: a slow machine registers more often instead of proving less.
    async with asyncio.timeout(60):
        while version < 12 or reads < 50:
            version += 1
            body = snapshot([pod(f"p{n}", version) for n in range(300)], [job("j", version)])
            answer = await (agent.register(body) if version % 2 else agent.replace(body))
            assert answer.status_code == 200
            if version % 5 == 0:
                await agent.unregister()
    stop.set()
    await reader
    assert reads >= 50


async def test_x3_a_new_cluster_appears_whole(agent: AgentClient, redis: Redis) -> None:
    counts = set()
    pods = [pod(f"p{n}", size=3000) for n in range(1500)]

    stop = asyncio.Event()

    async def read() -> None:
        while not stop.is_set():
            counts.add(await redis.hlen("clusters:gpu-1:resources:pod"))

    async def seen(count: int) -> bool:
        return count in counts

    reader = asyncio.create_task(read())
    await eventually(lambda: seen(0))
    assert (await agent.register(snapshot(pods))).status_code == 200
    await eventually(lambda: seen(1500))
    stop.set()
    await reader
    assert counts == {0, 1500}


async def test_x11_a_big_list_holds_up_no_other_agent_and_everything_in_it_is_found(
    agent: AgentClient, monitor: RunningMonitor
) -> None:
    """What it costs is measured by tests/bench/monitor; here only that others are served while it is taken in."""
    pods = [pod(f"big{n}", size=4000 + n % 11 * 1000) for n in range(1500)]
    body = snapshot(pods, nodes=[node("gpu-2")])
    async with AgentClient(monitor.url, "gpu-2", agent=OWN) as big:
        await agent.register(snapshot([pod("a")]))
        taking_in = asyncio.create_task(big.register(body))
        served = 0
        while not taking_in.done():
            assert (await agent.beat()).status_code == 200
            assert await monitor.services.view.locate(ResourceType.POD, "chutes", "a") is not None
            served += 1
        assert (await taking_in).status_code == 200
    assert served > 1
    view = monitor.services.view
    found = await view.find_by_label(ResourceType.POD, "chutes/deployment-id", "dep-big1499")
    assert [item.name for item in found] == ["big1499"]
    assert len((await view.read_cluster("gpu-2")).of(ResourceType.POD)) == 1500


async def test_x4_a_list_that_lost_a_kind_changes_nothing(
    agent: AgentClient, redis: Redis, monitor: RunningMonitor
) -> None:
    full = ([pod(f"p{n}") for n in range(10)], [job("j1"), job("j2")])
    await agent.register(snapshot(*full))
    assert (await agent.replace(snapshot([], []))).status_code == 200
    reading = await monitor.services.view.read_cluster("gpu-1")
    assert len(reading.of(ResourceType.POD)) == 10
    assert all(item.is_unconfirmed for item in (*reading.of(ResourceType.POD), *reading.of(ResourceType.JOB)))
    await agent.replace(snapshot(*full))
    reading = await monitor.services.view.read_cluster("gpu-1")
    assert not any(item.is_unconfirmed for item in reading.objects)


async def test_x7_a_name_used_again_keeps_the_new_object_whatever_arrives_late(
    agent: AgentClient, redis: Redis
) -> None:
    await agent.register(snapshot([pod("a", 5, uid="old")]))
    await agent.event(event("ADDED", pod("a", 9, uid="new")))
    for late in ("DELETED", "MODIFIED", "TERMINATING"):
        await agent.event(event(late, pod("a", 7, uid="old")))
        found = await stored(redis)
        assert found is not None
        assert found["metadata"]["uid"] == "new"
    await agent.event(event("DELETED", pod("a", 10, uid="new")))
    assert await stored(redis) is None


async def test_an_older_version_never_overwrites_a_newer_one(agent: AgentClient, redis: Redis) -> None:
    await agent.register(snapshot([pod("a", 10)]))
    await agent.event(event("MODIFIED", pod("a", 9)))
    await agent.replace(snapshot([pod("a", 8)]))
    found = await stored(redis)
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "10"


async def test_versions_are_compared_as_numbers_and_unknown_kinds_of_them_are_believed(
    agent: AgentClient, redis: Redis
) -> None:
    await agent.register(snapshot([pod("a", 9)]))
    await agent.event(event("MODIFIED", pod("a", 10)))
    odd = pod("a")
    odd["metadata"]["resourceVersion"] = "v1:abc"
    await agent.event(event("MODIFIED", odd))
    found = await stored(redis)
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "v1:abc"


async def test_the_dead_do_not_return(agent: AgentClient, redis: Redis) -> None:
    await agent.register(snapshot([pod("a", 5)]))
    await agent.event(event("DELETED", pod("a", 6)))
    await agent.event(event("MODIFIED", pod("a", 5)))
    await agent.replace(snapshot([pod("a", 5)]))
    assert await stored(redis) is None


async def test_t14_a_change_is_told_once_however_often_it_is_sent(agent: AgentClient, monitor: RunningMonitor) -> None:
    await agent.register(snapshot())
    position = await monitor.services.view.position()
    for _ in range(3):
        await agent.event(event("ADDED", pod("a", 5)))
    await agent.event(event("DELETED", pod("a", 6)))
    await agent.event(event("DELETED", pod("a", 6)))
    told = []
    async for change in monitor.services.view.changes(position):
        told.append((change.change.value, change.name, change.uid))
        if len(told) == 2:
            break
    assert told == [("ADDED", "a", "uid-Pod-a"), ("DELETED", "a", "uid-Pod-a")]
    assert await monitor.services.view.position() == change.position


async def test_x9_a_flushed_redis_is_filled_again_by_one_snapshot(agent: AgentClient, redis: Redis) -> None:
    await agent.register(snapshot([pod("a")]))
    await redis.flushall()
    assert (await agent.event(event("MODIFIED", pod("a", 2)))).status_code == 404
    assert (await agent.beat()).status_code == 404
    assert (await agent.replace(snapshot([pod("a", 2)]))).status_code == 200
    assert (await agent.beat()).status_code == 200
    assert await stored(redis) is not None


async def test_x9_an_old_dump_is_noticed_and_asked_to_be_replaced_once(
    agent: AgentClient, redis: Redis, monitor: RunningMonitor
) -> None:
    await agent.register(snapshot([pod("a")]))
    checker = monitor.services.checker
    await checker.check()
    await redis.decrby("headframe:observe:epoch", 5)
    await checker.check()
    assert await redis.hget("headframe:observe:cluster:gpu-1:state", "dirty") == b"redis lost data"
    await redis.hset("headframe:observe:cluster:gpu-1:state", "resync_at_ms", "0")
    statuses = [(await agent.beat()).status_code for _ in range(3)]
    assert statuses == [409, 200, 200]
    await agent.replace(snapshot([pod("a")]))
    assert await redis.hget("headframe:observe:cluster:gpu-1:state", "dirty") is None


async def test_t9_a_restarted_monitor_spreads_what_it_asks_for(
    agent: AgentClient, redis: Redis, monitor: RunningMonitor
) -> None:
    services = monitor.services
    await agent.register(snapshot([pod("a")]))
    before = time.time()
    fresh = HealthChecker(services.redis, services.view, services.monitor, services.metrics, {}, time.time)
    await fresh.check()
    at = int(cast("bytes", await redis.hget("headframe:observe:cluster:gpu-1:state", "resync_at_ms")))
    assert before - 1 <= at / 1000 <= time.time() + 60


async def test_c30_the_checker_marks_the_silent_and_leaves_their_objects(
    redis: Redis, redis_server: EmbeddedRedis, inventory: MemoryInventory
) -> None:
    clock = StandingClock()
    async with running_monitor(monitor_settings(redis_server.url), inventory, clock) as monitor:
        async with AgentClient(monitor.url) as agent:
            await agent.register(snapshot([pod("a")]))
        view, services = monitor.services.view, monitor.services
        checker = HealthChecker(services.redis, view, services.monitor, services.metrics, {}, clock)
        for ahead, state in ((59, ClusterState.STARTING), (61, ClusterState.UNHEALTHY), (3700, ClusterState.ERROR)):
            clock.offset = ahead
            checker._clock_offset = None  # the test's own jump
            await checker.check()
            assert (await view.health("gpu-1")).state is state
        reading = await view.read_cluster("gpu-1")
        assert len(reading.objects) == 2
        assert not reading.supports_absence
        assert reading.health.message == "Cluster offline for more than 1 hour."


@pytest.mark.parametrize("jump", [86_400, -86_400])
async def test_t11_a_clock_that_jumps_a_day_changes_no_health(
    redis: Redis, redis_server: EmbeddedRedis, inventory: MemoryInventory, jump: int
) -> None:
    clock = StandingClock()
    async with running_monitor(monitor_settings(redis_server.url), inventory, clock) as monitor:
        async with AgentClient(monitor.url) as agent:
            await agent.register(snapshot([pod("a")]))
            skewed = b'{"state":"active","timestamp":"2020-01-01T00:00:00"}'
            assert (await agent.beat(skewed)).status_code == 200
        services = monitor.services
        checker = HealthChecker(services.redis, services.view, services.monitor, services.metrics, {}, clock)
        await checker.check()
        clock.offset = jump
        await checker.check()
        assert (await services.view.health("gpu-1")).is_healthy


async def test_f20_a_damaged_health_hash_is_repaired_and_hurts_no_other_cluster(
    agent: AgentClient, redis: Redis, monitor: RunningMonitor
) -> None:
    await agent.register(snapshot([pod("a")]))
    await redis.hset("clusters:gpu-2:health", "state", "nonsense")
    assert (await monitor.services.view.health("gpu-2")).state is ClusterState.UNHEALTHY
    await monitor.services.checker.check()
    assert (await monitor.services.view.health("gpu-1")).is_healthy
    assert await redis.hget("clusters:gpu-2:health", "state") == b"unhealthy"


async def test_x2_random_histories_with_loss_doubles_and_disorder_end_equal_to_the_truth(
    agent: AgentClient, redis: Redis
) -> None:
    dice = random.Random(20)
    truth: dict[str, Json] = {}
    version = 1
    await agent.register(snapshot([]))
    for _ in range(6):
        waiting: list[bytes] = []
        for _ in range(40):
            version += 1
            name = f"p{dice.randrange(12)}"
            if name in truth and dice.random() < 0.3:
                gone = truth.pop(name)
                gone["metadata"]["resourceVersion"] = str(version)
                waiting.append(event("DELETED", gone))
            else:
                uid = truth[name]["metadata"]["uid"] if name in truth else f"uid-{name}-{version}"
                truth[name] = pod(name, version, uid=uid)
                waiting.append(event("MODIFIED", truth[name]))
        sent = [body for body in waiting if dice.random() > 0.2]
        sent += dice.sample(sent, 5)
        dice.shuffle(sent)
        for body in sent:
            assert (await agent.event(body)).status_code == 200
        # A pod that no watch will speak of again keeps the list from looking like a collapse.
        version += 1
        truth["anchor"] = pod("anchor", version)
        await agent.replace(snapshot(list(truth.values())))
        held = await names(redis, "headframe:observe:cluster:gpu-1:held:pod")
        for name, expected in truth.items():
            found = await stored(redis, name)
            assert found is not None, name
            assert found["metadata"]["resourceVersion"] == expected["metadata"]["resourceVersion"]
        assert await names(redis, "clusters:gpu-1:resources:pod") - truth.keys() <= held


async def test_c36_clearing_a_cluster_takes_nodes_health_and_index(
    agent: AgentClient, redis: Redis, monitor: RunningMonitor
) -> None:
    await agent.register(snapshot([pod("a")]))
    await monitor.services.monitor.clear("gpu-1")
    leftover = [key async for key in redis.scan_iter("*gpu-1*")]
    indexes = [key async for key in redis.scan_iter("headframe:observe:index:*")]
    assert (leftover, indexes) == ([], [])


async def test_a_redis_that_is_away_is_not_an_empty_fleet(tmp_path_factory: pytest.TempPathFactory) -> None:
    from app.observe.view import RedisFleetView

    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as own:
        async with Redis.from_url(own.url) as client:
            view = RedisFleetView(client, time.time)
            assert await view.cluster_names() == ()
            own.stop()
            for read in (view.cluster_names(), view.health("x"), view.read_cluster("x"), view.position()):
                with pytest.raises(ObservationUnavailableError):
                    await read


async def test_c37_c38_objects_are_found_by_label_node_and_name_across_clusters(
    monitor: RunningMonitor, redis: Redis
) -> None:
    view = monitor.services.view
    for name in ("gpu-1", "gpu-2"):
        async with AgentClient(monitor.url, name) as agent:
            await agent.register(snapshot([pod(f"only-{name}", node=name), pod("both", node=name)], nodes=[node(name)]))
    assert [
        p.cluster for p in await view.find_by_label(ResourceType.POD, "chutes/deployment-id", "dep-only-gpu-1")
    ] == ["gpu-1"]
    assert await view.find_by_label(ResourceType.JOB, "chutes/deployment-id", "dep-only-gpu-1") == ()
    assert {p.name for p in await view.find_on_node("gpu-2")} == {"only-gpu-2", "both"}
    found = await view.locate(ResourceType.POD, "chutes", "only-gpu-2")
    assert found is not None
    assert found.cluster == "gpu-2"
    assert orjson.loads(await view.body(found) or b"")["metadata"]["name"] == "only-gpu-2"
    assert await view.locate(ResourceType.POD, "chutes", "nobody") is None
    assert (await view.locate(ResourceType.NODE, None, "gpu-1")) is not None
    with pytest.raises(LookupError, match="gpu-1, gpu-2"):
        await view.locate(ResourceType.POD, "chutes", "both")
    with pytest.raises(ValueError, match="not indexed"):
        await view.find_by_label(ResourceType.POD, "app", "x")
    assert [reading.cluster for reading in await view.read_fleet([ResourceType.POD])] == ["gpu-1", "gpu-2"]
