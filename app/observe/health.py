"""Health by the monitor's own clock, and everything else that is looked at in turn (spec: agent-monitor 11.1, 20.1).

One pass: notice a Redis that lost its data, finish removals, judge every cluster, ask for lists where some were lost.
`judge` is pure. A pass that fails is logged; the next one starts anew.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.observe.inventory import InventoryUnavailableError
from app.observe.keys import EPOCH, state_key
from app.observe.metrics import MonitorMetrics
from app.observe.monitor import Monitor
from app.observe.readings import ClusterHealth, ClusterState, FleetView, ObservationUnavailableError

_OFFLINE_SECONDS: Final = 3600
_OFFLINE_REASON: Final = "Cluster offline for more than 1 hour."
_JUMP_SECONDS: Final = 20
#: Over this long the clusters of a restarted monitor are asked for their lists, so that they do not come all at once.
_SPREAD_SECONDS: Final = 60
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Verdict:
    """The state a cluster should have, and why."""

    state: ClusterState
    reason: str


def judge(health: ClusterHealth, now: float, heartbeat_seconds: float) -> Verdict | None:
    """What to change about a cluster's health; None for nothing. Never heals: only a complete list or a heartbeat does.

    A sign of life "in the future" is one that arrived before our own clock was set back: it counts as fresh.
    """
    if health.received_at is None:
        return Verdict(ClusterState.UNHEALTHY, "No heartbeat received.") if health.is_healthy else None
    silence_seconds = now - health.received_at.timestamp()
    if silence_seconds > _OFFLINE_SECONDS and health.state is not ClusterState.ERROR:
        return Verdict(ClusterState.ERROR, _OFFLINE_REASON)
    if silence_seconds > 2 * heartbeat_seconds and health.is_healthy:
        return Verdict(ClusterState.UNHEALTHY, f"No heartbeat for {int(silence_seconds)} s.")
    return None


class HealthChecker:
    """Runs in a task of its own (`run`).

    Args:
        failed: clusters that lost an event, with the reason; emptied here.
        now: wall clock, Unix seconds.
    """

    def __init__(
        self,
        redis: Redis,
        view: FleetView,
        monitor: Monitor,
        metrics: MonitorMetrics,
        failed: dict[str, str],
        now: Callable[[], float],
        *,
        heartbeat_seconds: float = 30,
    ) -> None:
        self._redis = redis
        self._view = view
        self._monitor = monitor
        self._metrics = metrics
        self._failed = failed
        self._now = now
        self._heartbeat_seconds = heartbeat_seconds
        self._run_id: str | None = None
        self._epoch: int | None = None
        self._clock_offset: float | None = None
        self._jumped_until = 0.0

    async def run(self) -> None:
        """Pass after pass, three per heartbeat interval; ends by cancellation."""
        while True:
            try:
                await self.check()
            except (RedisError, OSError, TimeoutError, ObservationUnavailableError, InventoryUnavailableError) as error:
                _log.warning("health pass failed", error=str(error) or type(error).__name__)
            await asyncio.sleep(self._heartbeat_seconds / 3)

    async def check(self) -> None:
        """One pass.

        Raises:
            ObservationUnavailableError, redis.RedisError: Redis does not answer.
        """
        clusters = await self._view.cluster_names()
        cause = await self._data_loss()
        if cause is not None:
            for cluster in clusters:
                await self._mark_dirty(cluster, cause, random.uniform(0, _SPREAD_SECONDS))  # noqa: S311 - spreading load
        for cluster, reason in list(self._failed.items()):
            if cluster in clusters:
                await self._mark_dirty(cluster, reason, 0)
            self._failed.pop(cluster, None)
        finished = await self._monitor.finish_removals(clusters)
        if self._clock_jumped():
            _log.warning("the wall clock jumped; health is not judged in this pass")
            return
        for cluster in clusters:
            if cluster not in finished:
                await self._judge(cluster)

    async def _judge(self, cluster: str) -> None:
        health = await self._view.health(cluster)
        if health.message == "The stored health is damaged.":
            await self._monitor.set_state(cluster, ClusterState.UNHEALTHY, "The stored health was damaged.")
            await self._mark_dirty(cluster, "damaged health", 0)
        verdict = judge(health, self._now(), self._heartbeat_seconds)
        if verdict is not None:
            received = cast("bytes | None", await cast("Any", self._redis.hget(state_key(cluster), "received_ms")))
            changed = await self._monitor.set_state(
                cluster,
                verdict.state,
                verdict.reason,
                expected=health.state.value,
                received_ms=received.decode() if received else "",
            )
            if changed:
                _log.warning("cluster judged", cluster=cluster, state=verdict.state.value, reason=verdict.reason)
        healthy = health.is_healthy and verdict is None
        self._metrics.cluster_state.labels(cluster).set(1 if healthy else 0)

    async def _data_loss(self) -> str | None:
        """Why the cache may be stale as a whole: this monitor is new, or Redis restarted, was flushed or restored."""
        info = await self._redis.info("server")
        run_id = str(info["run_id"])
        stored = await self._redis.get(EPOCH)
        epoch = await self._redis.incr(EPOCH)
        cause = None
        if self._run_id is None:
            cause = "monitor started"
        elif run_id != self._run_id:
            cause = "redis restarted"
        elif stored is None or (self._epoch is not None and int(stored) < self._epoch):
            cause = "redis lost data"
        self._run_id, self._epoch = run_id, epoch
        return cause

    async def _mark_dirty(self, cluster: str, reason: str, delay_seconds: float) -> None:
        if await self._monitor.mark_dirty(cluster, reason, delay_seconds):
            _log.info("cluster needs a complete list", cluster=cluster, cause=reason)
            self._metrics.resyncs.labels(reason).inc()

    def _clock_jumped(self) -> bool:
        """Whether the wall clock has jumped so lately that signs of life may not have arrived since."""
        now = time.monotonic()
        offset = self._now() - now
        if self._clock_offset is not None and abs(offset - self._clock_offset) > _JUMP_SECONDS:
            self._jumped_until = now + 2 * self._heartbeat_seconds
        self._clock_offset = offset
        return now < self._jumped_until
