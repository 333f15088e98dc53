"""Consumers on the real fleet cache: what is believed, how a copy is deleted, what is waited for (22 C40 to C42)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
from redis.asyncio import Redis

from app.gepetto.decision.intents import Evidence, Launch, Terminate
from app.gepetto.execution.ending import EndingResult
from app.gepetto.execution.executor import Executor
from app.gepetto.execution.launch import LaunchOrder
from app.gepetto.ingest.clusters import CachedClusters, ClusterState
from app.gepetto.kubernetes import manifests
from app.gepetto.kubernetes.client import ClusterClient, client_from_kubeconfig
from app.gepetto.kubernetes.plan import PodSettings
from app.observe import readings
from lab.services.redis import EmbeddedRedis
from tests.service.app.gepetto.conftest import Stage
from tests.support.gepetto import make_chute, make_deployment, make_server
from tests.support.kubernetes_objects import job, pod, snapshot
from tests.support.observe import AgentClient, MemoryInventory, RunningMonitor, monitor_settings, running_monitor
from tests.support.waiting import until
from tests.unit.app.gepetto.test_27_manifests import PLAN, node_ports

pytestmark = pytest.mark.service
ROW = make_deployment("d1", make_server(), make_chute(), 0b11, instance_id=None)


@pytest.fixture
async def monitor(redis: Redis, redis_server: EmbeddedRedis) -> AsyncIterator[RunningMonitor]:
    async with running_monitor(monitor_settings(redis_server.url), MemoryInventory.of("node-000")) as running:
        yield running


async def read(monitor: RunningMonitor) -> tuple[ClusterState, ...]:
    return await CachedClusters(monitor.services.view).read({"node-000": "server-000"}, time.time())


async def launched(stage: Stage, *, tee: bool = True, runtime: str = "0.6.0") -> Executor:
    await stage.add_server(tee=tee)
    await stage.add_chute(gpu_count=2, tee=tee, runtime=runtime)
    executor = stage.restart()
    gpus = tuple(f"{0:04x}{gpu:028x}" for gpu in (0, 1))
    await executor.launcher.launch(LaunchOrder(Launch("chute-000", "1", "server-000", 0b11), "d1", gpus))
    return executor


async def test_c40_only_a_healthy_cluster_with_a_complete_list_says_that_something_is_gone(
    monitor: RunningMonitor,
) -> None:
    assert await read(monitor) == (), "absent status is not health"
    async with AgentClient(monitor.url, "node-000") as agent:
        await agent.register(snapshot([pod("a")], nodes=[]))
    (state,) = await read(monitor)
    assert (state.healthy, state.completed_at is not None) == (True, True)
    await monitor.services.monitor.set_state("node-000", readings.ClusterState.UNHEALTHY, "test")
    (state,) = await read(monitor)
    assert (state.healthy, state.completed_at) == (False, None)
    assert [view.deployment_id for view in state.pods] == ["dep-a"], "what is known stays known"


async def test_c40_the_live_cluster_is_asked_before_an_absence_ends_anything(stage: Stage) -> None:
    executor = await launched(stage)
    cluster = await stage.clusters.of("server-000")
    absent = Terminate("d1", Evidence.ABSENT_POD)
    assert await executor.ender.end(ROW, absent) is EndingResult.UNFOUNDED
    cluster.is_down = True
    assert await executor.ender.end(ROW, absent) is EndingResult.VETOED
    cluster.is_down = False
    cluster.jobs.clear()
    assert await executor.ender.end(ROW, absent) is EndingResult.DONE


async def test_c41_a_job_goes_whatever_version_the_cache_holds_and_no_cluster_is_marked(
    monitor: RunningMonitor, stage: Stage
) -> None:
    async with AgentClient(monitor.url, "node-000") as agent:
        await agent.register(snapshot([], [job("d1", version=1)], nodes=[]))
    executor = await launched(stage)
    assert await executor.ender.end(ROW, Terminate("d1", Evidence.OPERATOR)) is EndingResult.DONE
    assert (await monitor.services.view.health("node-000")).is_healthy


async def test_c41_a_job_goes_in_the_foreground_with_180_s_for_its_pod_and_5_s_to_connect() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://api") as http:
        await ClusterClient(http, "chutes").delete_deployment("d1")
    options = orjson.loads(asked[0].content)
    assert (asked[0].method, asked[0].url.path) == ("DELETE", "/apis/batch/v1/namespaces/chutes/jobs/chute-d1")
    assert options["propagationPolicy"] == "Foreground"
    assert "preconditions" not in options
    settings = PodSettings(miner_ss58="5M")
    assert "'terminationGracePeriodSeconds': 180" in str(manifests.job(PLAN, settings, node_ports(PLAN)))
    real = client_from_kubeconfig(
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"
        "users: [{name: u, user: {token: t}}]",
        "chutes",
    )
    assert real._http.timeout.connect == 5
    await real.close()


async def test_c42_an_ending_waits_for_pods_and_one_that_stays_too_long_is_left_for_later(stage: Stage) -> None:
    executor = await launched(stage)
    cluster = await stage.clusters.of("server-000")
    cluster.stuck_pods.add("d1")
    assert await executor.ender.end(ROW, Terminate("d1", Evidence.OPERATOR)) is EndingResult.WAITING
    assert await stage.count("gpus", "deployment_id = 'd1'") == 2
    cluster.stuck_pods.clear()
    assert await executor.recover() == {"ending done": 1}
    assert await stage.is_clean()


async def test_c42_pods_that_leave_in_time_end_the_wait(stage: Stage) -> None:
    executor = await launched(stage)
    cluster = await stage.clusters.of("server-000")
    cluster.stuck_pods.add("d1")
    ender = executor.ender.__class__(stage.store, stage.clusters, executor.ender.validators, 60.0, 0.01)

    async def leave() -> None:
        await until(lambda: cluster.events.count("has_pods") >= 3)
        cluster.jobs.clear()

    leaving = asyncio.create_task(leave())
    assert await ender.end(ROW, Terminate("d1", Evidence.OPERATOR)) is EndingResult.DONE
    await leaving


async def test_c42_there_may_be_nothing_to_wait_for(stage: Stage) -> None:
    executor = await launched(stage)
    (await stage.clusters.of("server-000")).jobs.clear()
    assert await executor.ender.end(ROW, Terminate("d1", Evidence.OPERATOR)) is EndingResult.DONE


@pytest.mark.parametrize(("tee", "config_maps"), [(True, 0), (False, 1)])
async def test_c42_code_config_maps_never_touch_confidential_clusters(
    stage: Stage, tee: bool, config_maps: int
) -> None:
    await launched(stage, tee=tee, runtime="0.3.60")
    cluster = await stage.clusters.of("server-000")
    assert (len(cluster.jobs), len(cluster.config_maps)) == (1, config_maps)
