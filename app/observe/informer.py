"""A direct informer: the control plane lists and watches a cluster itself, with the kubeconfig of the server's row.

The authoritative source where it can be had: it needs no agent, loses no event, and confirms what a snapshot only
suggests (spec: agent-monitor 20.2). An API server that cannot be reached changes nothing in the cache.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import httpx
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.observe.antientropy import NOTHING, Place, divergences
from app.observe.entries import decode_known
from app.observe.intake import Job, ListIntake, Spool
from app.observe.keys import entries_key, state_key
from app.observe.metrics import MonitorMetrics
from app.observe.monitor import Heartbeat, Monitor, Outcome
from app.observe.planning import KnownKind, Source, plan_event
from app.observe.readings import ClusterState, ObservationUnavailableError
from app.observe.settings import MonitorSettings, ObservationMode
from app.observe.store import NotTrackedError, SyncMode
from app.observe.writer import EventWriter
from app.protocol.cancellation import run_apart, run_together
from app.protocol.channels import ResourceType, health_key, resources_key
from app.protocol.cluster_access import ClusterAccess, open_client
from app.protocol.kubernetes_reads import ClusterReadError, Collection, Listing, list_collection
from app.protocol.labels import CHUTES_NAMESPACE
from app.protocol.objects import MalformedObjectError, ObjectEvent, snapshot_body
from app.protocol.reflection import Reflector

COLLECTIONS: Final = tuple(
    Collection(kind, None if kind is ResourceType.NODE else CHUTES_NAMESPACE) for kind in ResourceType
)
_REPAIR_SECONDS: Final = 2.0
_SECOND_LOOK_SECONDS: Final = 3.0
_LONGEST_BACKOFF_SECONDS: Final = 60.0
_FAILURES: Final = (
    ClusterReadError,
    NotTrackedError,
    ObservationUnavailableError,
    MalformedObjectError,
    RedisError,
    OSError,
    TimeoutError,
)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class InformerServices:
    """What every informer works with."""

    redis: Redis
    intake: ListIntake
    writer: EventWriter
    monitor: Monitor
    metrics: MonitorMetrics
    now: Callable[[], float]
    settings: MonitorSettings
    #: Clusters that are followed now.
    followed: set[str] = field(default_factory=set)


class ClusterInformer:
    """Follows one cluster. Runs for ever (`run`), through outages of either side."""

    def __init__(self, cluster: str, access: ClusterAccess, services: InformerServices) -> None:
        self._cluster = cluster
        self._access = access
        self._services = services

    async def run(self) -> None:
        """Session after session; a failed one is followed by a pause that grows to a minute."""
        failures = 0
        while True:
            started = time.monotonic()
            try:
                await run_apart(self._session())
            except* _FAILURES as group:
                error = group.exceptions[0]
                _log.info("direct informer stopped", cluster=self._cluster, error=str(error) or type(error).__name__)
            except* Exception:  # noqa: BLE001 - a kubeconfig that no client can be made of stops no other informer
                _log.exception("direct informer failed by a mistake", cluster=self._cluster)
            finally:
                self._services.followed.discard(self._cluster)
                self._services.metrics.informer_synced.labels(self._cluster).set(0)
            failures = 0 if time.monotonic() - started > _LONGEST_BACKOFF_SECONDS else failures + 1
            pause = min(_LONGEST_BACKOFF_SECONDS, 0.5 * 2 ** min(failures, 8))
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreading load

    async def on_event(self, event: ObjectEvent) -> None:
        """One change, straight into the cache."""
        await self._services.writer.apply(self._cluster, [plan_event(event)])

    async def on_list(self, listing: Listing) -> None:
        """After a gap in a watch. Its events have been applied already."""
        _log.info("list read again", cluster=self._cluster, collection=listing.collection.path)

    async def _session(self) -> None:
        async with open_client(self._access) as client:
            await self._wait_until_tracked()
            listings = await self._take_in(client)
            self._services.followed.add(self._cluster)
            self._services.metrics.informer_synced.labels(self._cluster).set(1)
            follow = [
                Reflector(client, collection, keep_bodies=False).follow(listings[collection.kind], self)
                for collection in COLLECTIONS
            ]
            beat = [self._beat(client)] if self._services.settings.observation_mode is ObservationMode.PULL else []
            await run_together(*follow, self._repair(client), self._compare(client), *beat)

    async def _wait_until_tracked(self) -> None:
        """With agents, they alone bring a cluster into being; without, the informer does."""
        if self._services.settings.observation_mode is ObservationMode.PULL:
            return
        while not await cast("Any", self._services.redis.exists(health_key(self._cluster))):  # noqa: ASYNC110 - in Redis
            await asyncio.sleep(_REPAIR_SECONDS)

    async def _take_in(
        self, client: httpx.AsyncClient, force: frozenset[Place] = NOTHING
    ) -> dict[ResourceType, Listing]:
        listings = await _list_all(client)
        versions = {kind: listing.version for kind, listing in listings.items()}
        mode = SyncMode.LIST
        if self._services.settings.observation_mode is ObservationMode.PULL:
            known = await cast("Any", self._services.redis.exists(health_key(self._cluster)))
            mode = SyncMode.RESYNC if known else SyncMode.REGISTER
        now_ms = int(self._services.now() * 1000)
        job = Job(self._cluster, mode, Source.LIVE, now_ms, "informer", versions=versions, force=force)
        with Spool() as spool:
            spool.write(snapshot_body(item for listing in listings.values() for item in listing.objects))
            result = await self._services.intake.take_in(spool, job)
        self._services.metrics.held.labels(self._cluster).set(result.held)
        _log.debug("took a live list", cluster=self._cluster, applied=result.applied, held=result.held)
        return listings

    async def _repair(self, client: httpx.AsyncClient) -> None:
        """A dirty cluster is repaired by a live list, before its agent is asked for anything."""
        while True:
            await asyncio.sleep(_REPAIR_SECONDS)
            if await cast("Any", self._services.redis.hexists(state_key(self._cluster), "dirty")):
                await self._take_in(client)

    async def _compare(self, client: httpx.AsyncClient) -> None:
        """Every two minutes or so: whatever two looks find different is counted and repaired, whatever its version.

        A look that finds nothing confirms the cache as complete: absences are believed from fresh readings only.
        """
        while True:
            await asyncio.sleep(self._services.settings.anti_entropy_seconds * random.uniform(0.8, 1.2))  # noqa: S311
            first = await self._look(client)
            if not first:
                await self._services.monitor.confirm(self._cluster)
                continue
            await asyncio.sleep(_SECOND_LOOK_SECONDS)
            lasting = first & await self._look(client)
            if lasting:
                _log.warning("cache differs from the cluster", cluster=self._cluster, objects=len(lasting))
                self._services.metrics.divergences.labels(self._cluster).inc(len(lasting))
                await self._take_in(client, lasting)

    async def _look(self, client: httpx.AsyncClient) -> frozenset[Place]:
        return divergences(await _list_all(client, metadata_only=True), await self._known())

    async def _known(self) -> Mapping[ResourceType, KnownKind]:
        known = {}
        for kind in ResourceType:
            pipe = self._services.redis.pipeline(transaction=True)
            pipe.hgetall(entries_key(self._cluster, kind))
            pipe.hkeys(resources_key(self._cluster, kind))
            entries, fields = await pipe.execute()
            decoded = {name.decode(): decode_known(text) for name, text in entries.items()}
            known[kind] = KnownKind(decoded, frozenset(name.decode() for name in fields))
        return known

    async def _beat(self, client: httpx.AsyncClient) -> None:
        """Without an agent, a watch that works is the sign of life."""
        while True:
            outcome = await self._services.monitor.heartbeat(self._cluster, Heartbeat(ClusterState.ACTIVE, None))
            if outcome is not Outcome.DONE:
                await self._take_in(client)
            await asyncio.sleep(self._services.settings.heartbeat_interval)


async def _list_all(client: httpx.AsyncClient, *, metadata_only: bool = False) -> dict[ResourceType, Listing]:
    listings = {}
    for collection in COLLECTIONS:
        listings[collection.kind] = await list_collection(client, collection, metadata_only=metadata_only)
    return listings
