"""Clusters and servers in step, on a real Redis with fake agents (spec: agent-monitor 11.2, 20.1 point 14)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.observe.inventory import InventoryUnavailableError, Server, SqlInventory
from app.observe.janitor import RedisFleetJanitor
from app.observe.readings import ClusterState, ObservationUnavailableError
from app.observe.reconciler import AgentStarter, Attempts, Reconciler
from app.storage.migrate import migrate
from app.storage.sealing import Vault
from lab.services.redis import EmbeddedRedis, free_port
from tests.support.faults import StandingClock
from tests.support.kubernetes_objects import snapshot
from tests.support.observe import (
    SIGNER,
    AgentClient,
    MemoryInventory,
    RunningMonitor,
    monitor_settings,
)
from tests.support.serving import serving

pytestmark = pytest.mark.service


@pytest.fixture
async def monitor(monitor: RunningMonitor) -> RunningMonitor:
    """The room's monitor, both servers registered."""
    for name in ("gpu-1", "gpu-2"):
        async with AgentClient(monitor.url, name) as agent:
            await agent.register(snapshot())
    return monitor


def reconciler(monitor: RunningMonitor, inventory: MemoryInventory, redis_url: str, clock: StandingClock) -> Reconciler:
    services = monitor.services
    starter = AgentStarter(SIGNER, "http://monitor.invalid:32001", clock)
    settings = monitor_settings(redis_url, monitor_api="http://monitor.invalid:32001")
    return Reconciler(
        services.redis, services.view, services.monitor, inventory, starter, services.metrics, clock, settings
    )


class Agent:
    """Answers starts with a status and its own state; a test's peer."""

    def __init__(self, status: int = 200, state: str = "running") -> None:
        self.status = status
        self.state = state
        self.starts: list[bytes] = []

    async def start(self, request: Request) -> Response:
        self.starts.append(await request.body())
        return JSONResponse({}, self.status)

    async def tell(self, _request: Request) -> Response:
        return JSONResponse({"state": self.state})

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        routes = [Route("/monitor/start", self.start, methods=["POST"]), Route("/monitor/status", self.tell)]
        async with serving(Starlette(routes=routes)) as url:
            yield url


async def test_a_cluster_is_forgotten_only_when_its_server_is_missing_twice_a_minute_apart(
    monitor: RunningMonitor, inventory: MemoryInventory, redis_server: EmbeddedRedis
) -> None:
    clock = StandingClock()
    made = reconciler(monitor, inventory, redis_server.url, clock)
    inventory.rows = [row for row in inventory.rows if row.name == "gpu-1"]
    for ahead, left in ((0, 2), (30, 2), (61, 1)):
        clock.offset = ahead
        await made.reconcile()
        assert len(await monitor.services.view.cluster_names()) == left


async def test_a_server_that_came_back_is_not_counted_as_missing(
    monitor: RunningMonitor, inventory: MemoryInventory, redis_server: EmbeddedRedis
) -> None:
    clock = StandingClock()
    made = reconciler(monitor, inventory, redis_server.url, clock)
    rows = list(inventory.rows)
    for ahead, present in ((0, False), (30, True), (61, False), (100, False)):
        clock.offset = ahead
        inventory.rows = rows if present else []
        await made.reconcile()
    assert len(await monitor.services.view.cluster_names()) == 2


async def test_an_inventory_that_does_not_answer_forgets_nothing(
    monitor: RunningMonitor, inventory: MemoryInventory, redis_server: EmbeddedRedis
) -> None:
    made = reconciler(monitor, inventory, redis_server.url, StandingClock())
    inventory.is_down = True
    with pytest.raises(InventoryUnavailableError):
        await made.reconcile()
    assert len(await monitor.services.view.cluster_names()) == 2


async def test_agents_that_do_not_report_are_started_with_growing_pauses(
    monitor: RunningMonitor, inventory: MemoryInventory, redis_server: EmbeddedRedis
) -> None:
    clock, agent = StandingClock(), Agent(500)
    made = reconciler(monitor, inventory, redis_server.url, clock)
    async with agent.serve() as url:
        inventory.rows = [Server("gpu-1", url), Server("gpu-2", "http://127.0.0.1:1")]
        await made.reconcile()
        assert agent.starts == []
        await monitor.services.monitor.set_state("gpu-1", ClusterState.UNHEALTHY, "test")
        await monitor.services.monitor.set_state("gpu-2", ClusterState.UNHEALTHY, "test")
        for ahead, starts in ((0, 1), (60, 1), (125, 2), (200, 2), (600, 3)):
            clock.offset = ahead
            await made.reconcile()
            assert len(agent.starts) == starts
        assert agent.starts[0] == b'{"control_plane_url":"http://monitor.invalid:32001"}'


async def test_a_healthy_cluster_whose_agent_says_stopped_is_started_at_once(
    monitor: RunningMonitor, inventory: MemoryInventory, redis_server: EmbeddedRedis
) -> None:
    agent = Agent(200, "stopped")
    async with agent.serve() as url:
        inventory.rows = [Server("gpu-1", url)]
        await reconciler(monitor, inventory, redis_server.url, StandingClock()).reconcile()
        assert len(agent.starts) == 1


async def test_one_of_two_reconcilers_leads(
    monitor: RunningMonitor, inventory: MemoryInventory, redis_server: EmbeddedRedis
) -> None:
    first, second = (reconciler(monitor, inventory, redis_server.url, StandingClock()) for _ in range(2))
    assert [await first._holds_lock(), await second._holds_lock(), await first._holds_lock()] == [True, False, True]


@pytest.mark.parametrize(("status", "word"), [(200, "started"), (409, "running"), (401, "refused")])
async def test_the_starter_tells_apart_what_agents_answer(status: int, word: str) -> None:
    starter = AgentStarter(SIGNER, "http://m", StandingClock())
    async with Agent(status).serve() as url:
        assert await starter.start(url) == word
        assert not await starter.is_stopped(url)
    assert await starter.start("http://127.0.0.1:1") == "unreachable"
    assert not await starter.is_stopped("http://127.0.0.1:1")


def test_pauses_between_starts_double_to_half_an_hour() -> None:
    attempts, pauses = Attempts(), []
    for _ in range(7):
        attempts = attempts.after_failure(0, 120, 1)
        pauses.append(attempts.next_seconds)
    assert pauses == [120, 240, 480, 960, 1800, 1800, 1800]


async def test_c38_the_inventory_reads_the_servers_table(database_url: str) -> None:
    engine = create_async_engine(database_url)
    vault = Vault.of_seed("ab" * 32)
    try:
        await migrate(engine)
        async with engine.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO servers (server_id, validator, name, labels, gpu_count, cpu_per_gpu, memory_per_gpu,"
                    " hourly_cost, agent_api, kubeconfig) VALUES ('u','v','gpu-1','{}',1,1,1,1,'http://a:32000',:sealed)"
                ),
                {"sealed": vault.seal("u", "secret")},
            )
        inventory = SqlInventory(engine, vault)
        assert await inventory.servers() == (Server("gpu-1", "http://a:32000", "secret"),)
        assert "secret" not in repr(await inventory.servers())
        foreign = SqlInventory(engine, Vault.of_seed("cd" * 32))
        assert await foreign.servers() == (Server("gpu-1", "http://a:32000", None),)
        assert await inventory.contains("gpu-1")
        assert not await inventory.contains("gpu-2")
    finally:
        await engine.dispose()
    away = create_async_engine(f"postgresql+asyncpg://u:p@127.0.0.1:{free_port()}/x")
    with pytest.raises(InventoryUnavailableError):
        await SqlInventory(away, vault).servers()
    await away.dispose()


async def test_consumers_can_remove_a_cluster_and_stop_trusting_one(monitor: RunningMonitor, redis: Redis) -> None:
    clock = StandingClock()
    janitor = RedisFleetJanitor(redis, clock)
    await janitor.mark_unhealthy("gpu-1", "an operator's doubt")
    await janitor.mark_unhealthy("nobody", "x")
    await janitor.remove_cluster("gpu-2")
    view = monitor.services.view
    assert await view.cluster_names() == ("gpu-1",)
    assert (await view.health("gpu-1")).message == "an operator's doubt"
    async with Redis.from_url(f"redis://127.0.0.1:{free_port()}") as away:
        with pytest.raises(ObservationUnavailableError):
            await RedisFleetJanitor(away, clock).remove_cluster("gpu-1")
