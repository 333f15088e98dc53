"""Keeps clusters and servers in step: forgets clusters without a server, starts agents that do not report.

One replica at a time holds the lock. A server must be missing from the inventory twice, a minute apart, before its
cluster is forgotten; an inventory that cannot be read says nothing (spec: agent-monitor 11.2, 20.1 point 14).
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import httpx
import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.observe.inventory import Inventory, InventoryUnavailableError, Server
from app.observe.keys import MISSING_SERVERS, RECONCILER_LOCK, START_ATTEMPTS
from app.observe.metrics import MonitorMetrics
from app.observe.monitor import Monitor
from app.observe.readings import FleetView, ObservationUnavailableError
from app.observe.settings import MonitorSettings, ObservationMode
from app.protocol.monitoring import AgentState
from app.protocol.signing import Signer, nonce_v1

_CONCURRENT_STARTS: Final = 16
_START_TIMEOUT_SECONDS: Final = 30.0
_STATUS_TIMEOUT_SECONDS: Final = 5.0
_LONGEST_BACKOFF_SECONDS: Final = 1800.0
_MISSING_SECONDS: Final = 60.0
_FAILURES: Final = (RedisError, OSError, TimeoutError, ObservationUnavailableError, InventoryUnavailableError)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Attempts:
    """How often starting an agent failed in a row, and when to try again."""

    failures: int = 0
    next_seconds: float = 0.0

    def after_failure(self, now: float, first_seconds: float, jitter: float) -> Attempts:
        """One more failure: twice the pause, up to half an hour. `jitter` from 0.5 to 1 spreads the fleet."""
        pause = min(_LONGEST_BACKOFF_SECONDS, first_seconds * 2**self.failures)
        return Attempts(self.failures + 1, now + max(first_seconds, pause * jitter))


class AgentStarter:
    """Asks agents to report to this monitor.

    Args:
        monitor_api: this monitor's address as agents reach it.
        now: wall clock, Unix seconds.
    """

    def __init__(self, signer: Signer, monitor_api: str, now: Callable[[], float]) -> None:
        self._signer = signer
        self._monitor_api = monitor_api
        self._now = now

    async def start(self, agent_api: str) -> str:
        """POST `/monitor/start`. 409 means that the agent runs and will heal by its own heartbeat.

        Returns:
            started, running, refused or unreachable.
        """
        body = orjson.dumps({"control_plane_url": self._monitor_api})
        headers = self._signer.management_headers(nonce_v1(self._now()), body=body)
        headers["Content-Type"] = "application/json"
        try:
            async with httpx.AsyncClient(timeout=_START_TIMEOUT_SECONDS, trust_env=False) as client:
                response = await client.post(f"{agent_api.rstrip('/')}/monitor/start", content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            return "unreachable"
        return {200: "started", 409: "running"}.get(response.status_code, "refused")

    async def is_stopped(self, agent_api: str) -> bool:
        """Whether the agent itself says that it reports to nobody. An agent that does not answer says nothing."""
        try:
            async with httpx.AsyncClient(timeout=_STATUS_TIMEOUT_SECONDS, trust_env=False) as client:
                response = await client.get(f"{agent_api.rstrip('/')}/monitor/status")
                return bool(response.status_code == 200 and response.json().get("state") == AgentState.STOPPED)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, AttributeError):
            return False


class Reconciler:
    """Runs in a task of its own (`run`). Without a starter it only forgets clusters."""

    def __init__(
        self,
        redis: Redis,
        view: FleetView,
        monitor: Monitor,
        inventory: Inventory,
        starter: AgentStarter | None,
        metrics: MonitorMetrics,
        now: Callable[[], float],
        settings: MonitorSettings,
    ) -> None:
        self._redis = redis
        self._view = view
        self._monitor = monitor
        self._inventory = inventory
        self._starter = starter
        self._metrics = metrics
        self._now = now
        self._settings = settings
        self._identity = uuid.uuid4().hex

    async def run(self) -> None:
        """Pass after pass, the first after one interval; ends by cancellation."""
        while True:
            await asyncio.sleep(self._settings.reconciliation_interval_seconds)
            try:
                if await self._holds_lock():
                    await self.reconcile()
            except* _FAILURES as group:  # agents are looked after together: their failures come as a group
                error = group.exceptions[0]
                _log.warning("reconciliation skipped", error=str(error) or type(error).__name__)

    async def reconcile(self) -> None:
        """One pass.

        Raises:
            InventoryUnavailableError, ObservationUnavailableError, redis.RedisError: a store does not answer; in an
                ExceptionGroup where that happened while agents were looked after.
        """
        servers = {server.name: server for server in await self._inventory.servers()}
        await self._forget_missing(servers)
        if self._starter is not None and self._settings.observation_mode is not ObservationMode.PULL:
            await self._start_agents([server for server in servers.values() if server.agent_api], self._starter)

    async def _forget_missing(self, servers: Mapping[str, Server]) -> None:
        tracked = await self._view.cluster_names()
        seen = cast("dict[bytes, bytes]", await cast("Any", self._redis.hgetall(MISSING_SERVERS)))
        first_seen = {name.decode(): float(since) for name, since in seen.items()}
        missing = [name for name in tracked if name not in servers]
        for name in first_seen.keys() - set(missing):
            await cast("Any", self._redis.hdel(MISSING_SERVERS, name))
        for name in missing:
            if name not in first_seen:
                await cast("Any", self._redis.hset(MISSING_SERVERS, name, str(self._now())))
            elif self._now() - first_seen[name] >= min(
                _MISSING_SECONDS, self._settings.reconciliation_interval_seconds
            ):
                _log.warning("cluster forgotten: the inventory has no such server", cluster=name)
                await self._monitor.clear(name)
                await cast("Any", self._redis.hdel(MISSING_SERVERS, name))

    async def _start_agents(self, servers: list[Server], starter: AgentStarter) -> None:
        slots = asyncio.Semaphore(_CONCURRENT_STARTS)

        async def one(server: Server) -> None:
            async with slots:
                await self._start_if_needed(server, starter)

        async with asyncio.TaskGroup() as tasks:
            for server in servers:
                tasks.create_task(one(server))

    async def _start_if_needed(self, server: Server, starter: AgentStarter) -> None:
        agent_api = server.agent_api or ""
        health = await self._view.health(server.name)
        if health.is_healthy and not await starter.is_stopped(agent_api):
            await cast("Any", self._redis.hdel(START_ATTEMPTS, server.name))
            return
        attempts = await self._attempts(server.name)
        if self._now() < attempts.next_seconds:
            return
        pause = self._settings.reinitiate_interval_seconds
        after = attempts.after_failure(self._now(), pause, random.uniform(0.5, 1))  # noqa: S311 - spreading load
        await cast("Any", self._redis.hset(START_ATTEMPTS, server.name, f"{after.failures} {after.next_seconds}"))
        result = await starter.start(agent_api)
        self._metrics.start_attempts.labels(result).inc()
        _log.info("asked an agent to report", cluster=server.name, result=result)
        if result in {"started", "running"}:
            fresh = Attempts(0, self._now() + pause)
            await cast("Any", self._redis.hset(START_ATTEMPTS, server.name, f"0 {fresh.next_seconds}"))

    async def _attempts(self, cluster: str) -> Attempts:
        text = cast("bytes | None", await cast("Any", self._redis.hget(START_ATTEMPTS, cluster)))
        if text is None:
            return Attempts()
        failures, _, next_seconds = text.decode().partition(" ")
        return Attempts(int(failures), float(next_seconds))

    async def _holds_lock(self) -> bool:
        """Take or renew the leadership; it lapses after three intervals without a renewal."""
        lease_ms = int(self._settings.reconciliation_interval_seconds * 3000)
        if await self._redis.set(RECONCILER_LOCK, self._identity, nx=True, px=lease_ms):
            return True
        if await self._redis.get(RECONCILER_LOCK) != self._identity.encode():
            return False
        return bool(await self._redis.pexpire(RECONCILER_LOCK, lease_ms))
