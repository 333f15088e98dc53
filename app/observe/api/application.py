"""The monitor's application: routes and background tasks over one set of services. Nothing starts at import."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.observe.api.clusters import ClusterRoutes
from app.observe.api.dashboard import DashboardRoutes
from app.observe.api.requests import Gate, json_response
from app.observe.digesting import DigestCheck
from app.observe.health import HealthChecker
from app.observe.informers import InformerSupervisor
from app.observe.intake import ListIntake
from app.observe.inventory import Inventory, InventoryUnavailableError, SqlInventory
from app.observe.metrics import MonitorMetrics
from app.observe.monitor import Monitor, MonitorPolicy
from app.observe.reconciler import AgentStarter, Reconciler
from app.observe.settings import MonitorSettings, ObservationMode
from app.observe.view import RedisFleetView
from app.observe.writer import EventWriter
from app.protocol.signing import Signer
from app.protocol.verification import LocalReplayMemory, ManagementVerifier
from app.storage.sealing import Vault

_READY_TIMEOUT_SECONDS: Final = 5.0
_REDIS_TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Services:
    """Everything the monitor is made of; tests reach in here."""

    redis: Redis
    inventory: Inventory
    view: RedisFleetView
    monitor: Monitor
    writer: EventWriter
    metrics: MonitorMetrics
    clusters: ClusterRoutes
    dashboard: DashboardRoutes
    checker: HealthChecker
    reconciler: Reconciler
    informers: InformerSupervisor | None
    #: What runs beside the routes; one that has ended means that this process must be started again.
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


def build_services(
    settings: MonitorSettings, redis: Redis, inventory: Inventory, intake: ListIntake, now: Callable[[], float]
) -> Services:
    """Put the parts together."""
    metrics = MonitorMetrics()
    writer = EventWriter(redis, now)
    policy = MonitorPolicy(settings.strict_registration, settings.removal_grace_seconds)
    monitor = Monitor(redis, inventory, intake, writer, now, policy)
    gate = Gate(ManagementVerifier(settings.miner_ss58, LocalReplayMemory()), now, metrics)
    view = RedisFleetView(redis, now)
    informers = None
    if settings.observation_mode is not ObservationMode.PUSH:
        informers = InformerSupervisor(redis, inventory, intake, writer, monitor, metrics, now, settings)
    digests = DigestCheck(redis, monitor, metrics, informers.is_followed if informers else lambda _: False, now)
    clusters = ClusterRoutes(monitor, gate, metrics, digests)
    checker = HealthChecker(
        redis, view, monitor, metrics, clusters.failed, now, heartbeat_seconds=settings.heartbeat_interval
    )
    signer = Signer.from_seed(settings.miner_seed.get_secret_value())
    starter = AgentStarter(signer, settings.monitor_api, now) if settings.monitor_api else None
    reconciler = Reconciler(redis, view, monitor, inventory, starter, metrics, now, settings)
    dashboard = DashboardRoutes(view, gate)
    return Services(
        redis, inventory, view, monitor, writer, metrics, clusters, dashboard, checker, reconciler, informers
    )


@asynccontextmanager
async def run_services(
    settings: MonitorSettings, inventory: Inventory | None = None, now: Callable[[], float] = time.time
) -> AsyncIterator[Services]:
    """Connect, start the background tasks, end them again.

    Raises:
        redis.RedisError: Redis does not answer; a monitor without it must not start.
    """
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(
            Redis.from_url(settings.redis_url, socket_timeout=_REDIS_TIMEOUT_SECONDS)
        )
        async with asyncio.timeout(_REDIS_TIMEOUT_SECONDS):
            await redis.ping()
        if inventory is None:
            engine = create_async_engine(settings.postgresql.get_secret_value(), pool_pre_ping=True)
            stack.push_async_callback(engine.dispose)
            seed = settings.miner_seed.get_secret_value()
            inventory = SqlInventory(engine, Vault.of_seed(seed, accepts_plain=not settings.kubeconfig_sealed))
        intake = await stack.enter_async_context(ListIntake(settings.redis_url))
        services = build_services(settings, redis, inventory, intake, now)
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(services.writer.run())
            running = [tasks.create_task(services.checker.run()), tasks.create_task(services.reconciler.run())]
            if services.informers is not None:
                running.append(tasks.create_task(services.informers.run()))
            services.tasks.extend([writing, *running])
            try:
                yield services
            finally:
                await _end(running)
                await _end([writing])  # last: the others' events wait for it


async def _end(running: Sequence[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: a cancellation that falls into a Redis call on its way is sometimes swallowed."""
    waiting = set(running)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=1)


def create_application(
    settings: MonitorSettings, inventory: Inventory | None = None, now: Callable[[], float] = time.time
) -> FastAPI:
    """The ASGI application. Services live as long as it runs and are found in `app.state.services`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with run_services(settings, inventory, now) as services:
            app.state.services = services
            app.router.routes.extend(services.clusters.routes())
            app.router.routes.extend(services.dashboard.routes())
            yield

    app = FastAPI(title="Headframe monitor", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.router.routes.extend(
        [Route("/health", _health), Route("/ping", _ping), Route("/ready", _ready), Route("/metrics", _metrics)]
    )
    return app


async def _health(request: Request) -> Response:
    services: Services = request.app.state.services
    if any(task.done() for task in services.tasks):
        return json_response({"status": "unhealthy", "service": "agent-monitor"}, 503)
    return json_response({"status": "healthy", "service": "agent-monitor"})


async def _ping(_request: Request) -> Response:
    return json_response({"message": "pong"})


async def _ready(request: Request) -> Response:
    services: Services = request.app.state.services
    problems = []
    try:
        async with asyncio.timeout(_READY_TIMEOUT_SECONDS):
            await services.redis.ping()
    except (RedisError, OSError, TimeoutError):
        problems.append("redis does not answer")
    try:
        async with asyncio.timeout(_READY_TIMEOUT_SECONDS):
            await services.inventory.servers()
    except (InventoryUnavailableError, TimeoutError):
        problems.append("the database does not answer")
    return json_response({"ready": not problems, "problems": problems}, 503 if problems else 200)


async def _metrics(request: Request) -> Response:
    services: Services = request.app.state.services
    services.metrics.queue_depth.set(services.writer.depth)
    return Response(generate_latest(services.metrics.registry), media_type=CONTENT_TYPE_LATEST)
