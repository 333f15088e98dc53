"""The acts of the monitor: register, replace, event, heartbeat, unregister. It knows nothing of HTTP.

Outcomes are words; `app.observe.api` turns them into the statuses that agents expect (spec: agent-monitor 7.1, 20.1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, cast

from redis.asyncio import Redis

from app.observe.intake import Job, ListIntake, Spool
from app.observe.inventory import Inventory
from app.observe.keys import state_key
from app.observe.planning import Source, plan_event
from app.observe.readings import ClusterState
from app.observe.scripts import CLEAR, CONFIRM, HEARTBEAT, MARK_DIRTY, SET_STATE
from app.observe.store import SyncMode, SyncResult, iso_timestamp
from app.observe.writer import EventWriter
from app.protocol.channels import health_key
from app.protocol.objects import ObjectEvent

_CALL_TIMEOUT_SECONDS: Final = 10.0
_RESYNC_SPACING_SECONDS: Final = 60
_CONFIRM_SPACING_SECONDS: Final = 60


class Outcome(StrEnum):
    """How an act ended."""

    DONE = "done"
    NOT_IN_INVENTORY = "not in inventory"
    ALREADY_TRACKED = "already tracked"
    NOT_TRACKED = "not tracked"
    UNHEALTHY = "unhealthy"
    RESYNC = "resync"


@dataclass(frozen=True)
class MonitorPolicy:
    """Switches. `strict_registration` restores the public monitor's 409 and 410, for programs that rely on them."""

    strict_registration: bool = False
    removal_grace_seconds: float = 60


@dataclass(frozen=True)
class Heartbeat:
    """A heartbeat's body. The time in it is only compared with ours, never believed."""

    state: ClusterState
    timestamp: datetime | None


class Monitor:
    """Acts on the cache for agents. Redis failures surface as `redis.RedisError`, database ones as
    `InventoryUnavailableError`: the caller answers 500, and the agent tries again.

    Args:
        redis: a client that answers bytes.
        now: wall clock, Unix seconds.
    """

    def __init__(
        self,
        redis: Redis,
        inventory: Inventory,
        intake: ListIntake,
        writer: EventWriter,
        now: Callable[[], float],
        policy: MonitorPolicy,
    ) -> None:
        self._redis = redis
        self._inventory = inventory
        self._intake = intake
        self._writer = writer
        self._now = now
        self._policy = policy

    async def take_snapshot(
        self, cluster: str, spool: Spool, *, mode: SyncMode, source: Source, agent: str
    ) -> tuple[Outcome, SyncResult | None]:
        """A snapshot by POST (`REGISTER`) or PUT (`RESYNC`). Either creates the cluster and either replaces it.

        Raises:
            MalformedObjectError: the body is not a snapshot.
        """
        if not await self._inventory.contains(cluster):
            return Outcome.NOT_IN_INVENTORY, None
        is_tracked = await self._is_tracked(cluster)
        if self._policy.strict_registration and is_tracked is (mode is SyncMode.REGISTER):
            return (Outcome.ALREADY_TRACKED if is_tracked else Outcome.NOT_TRACKED), None
        real_mode = mode if is_tracked else SyncMode.REGISTER
        job = Job(cluster, real_mode, source, self._milliseconds(), agent)
        return Outcome.DONE, await self._intake.take_in(spool, job)

    async def take_events(self, cluster: str, events: Sequence[ObjectEvent]) -> int:
        """Apply events in order; how many changed something.

        Raises:
            NotTrackedError: the cluster is not registered.
            ObservationUnavailableError: Redis could not be reached.
        """
        return await self._writer.apply(cluster, [plan_event(event) for event in events])

    async def heartbeat(self, cluster: str, beat: Heartbeat) -> Outcome:
        """A sign of life. It never creates a cluster, never heals one, and can set no state but active or starting."""
        now = self._now()
        skew_ms = 0 if beat.timestamp is None else int((beat.timestamp.timestamp() - now) * 1000)
        state = beat.state if beat.state.is_healthy else ClusterState.ACTIVE
        answer = await self._evaluate(
            HEARTBEAT,
            cluster,
            int(now * 1000),
            iso_timestamp(int(now * 1000)),
            state.value,
            skew_ms,
            _RESYNC_SPACING_SECONDS * 1000,
        )
        words = {b"ok": Outcome.DONE, b"unhealthy": Outcome.UNHEALTHY, b"resync": Outcome.RESYNC}
        return words.get(cast("bytes", answer), Outcome.NOT_TRACKED)

    async def unregister(self, cluster: str) -> None:
        """Forget a cluster after a grace period, in which nothing is hidden and a new snapshot cancels the removal.

        At once when the inventory no longer has the server.
        """
        if not await self._is_tracked(cluster) or not await self._inventory.contains(cluster):
            await self.clear(cluster)
            return
        await self._call(self._redis.hset(state_key(cluster), "removing_ms", str(self._milliseconds())))
        reason = "Agent unregistered; kept until the grace period ends."
        await self.set_state(cluster, ClusterState.UNHEALTHY, reason)

    async def finish_removals(self, clusters: Sequence[str]) -> tuple[str, ...]:
        """Forget the clusters whose grace period has ended; their names."""
        finished = []
        for cluster in clusters:
            since = await self._call(self._redis.hget(state_key(cluster), "removing_ms"))
            if since is None:
                continue
            waited_ms = self._milliseconds() - int(cast("bytes", since))
            if waited_ms >= self._policy.removal_grace_seconds * 1000:
                cleared = await self._evaluate(
                    CLEAR, cluster, iso_timestamp(self._milliseconds()), cast("bytes", since)
                )
                finished += [cluster] if cleared else []
        return tuple(finished)

    async def clear(self, cluster: str) -> None:
        """Forget a cluster at once and say so on the channel."""
        await self._evaluate(CLEAR, cluster, iso_timestamp(self._milliseconds()), "")

    async def set_state(
        self, cluster: str, state: ClusterState, reason: str, *, expected: str = "", received_ms: str = ""
    ) -> bool:
        """Set a tracked cluster's state, if it still is as expected. Whether it was set."""
        arguments = (cluster, expected, state.value, reason, self._milliseconds(), received_ms)
        return bool(await self._evaluate(SET_STATE, *arguments))

    async def mark_dirty(self, cluster: str, reason: str, delay_seconds: float) -> bool:
        """Ask for a complete list: by a live read, or by one refused heartbeat after the delay."""
        resync_at_ms = self._milliseconds() + int(delay_seconds * 1000)
        return bool(await self._evaluate(MARK_DIRTY, cluster, reason, resync_at_ms))

    async def confirm(self, cluster: str) -> bool:
        """A comparison found the cache equal to the cluster: as good as a complete list, so that readers who may only
        believe a fresh one have one without a list being sent. At most once a minute; whether it counted."""
        return bool(await self._evaluate(CONFIRM, cluster, self._milliseconds(), _CONFIRM_SPACING_SECONDS * 1000))

    async def _is_tracked(self, cluster: str) -> bool:
        return bool(await self._call(self._redis.exists(health_key(cluster))))

    async def _evaluate(self, script: str, *arguments: str | bytes | int) -> object:
        return await self._call(self._redis.eval(script, 0, *arguments))

    async def _call(self, awaitable: object) -> object:
        async with asyncio.timeout(_CALL_TIMEOUT_SECONDS):
            return await awaitable  # type: ignore[misc] # redis' stubs give "awaitable or value"

    def _milliseconds(self) -> int:
        return int(self._now() * 1000)
