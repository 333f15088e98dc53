"""What the clusters show, from the fleet cache or from the live APIs, as one kind of reading (spec: gepetto 24.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from app.gepetto.ports import ClustersPort, UnavailableError
from app.gepetto.world.views import PodView
from app.observe.readings import ClusterReading, FleetView, ObservationUnavailableError, ObservedObject
from app.protocol import labels
from app.protocol.channels import ResourceType

FINISHED_PHASES = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class ClusterState:
    """One cluster: its deployments' pods, and since when that list is complete. `completed_at` None: it never was."""

    name: str
    healthy: bool
    completed_at: float | None
    pods: tuple[PodView, ...]


class ClusterFeed(Protocol):
    """Reads every cluster's state. Raises `UnavailableError` when nothing can be read at all."""

    async def read(self, names: dict[str, str], now: float) -> tuple[ClusterState, ...]:
        """States by server; `names` gives the server id of every cluster name."""
        ...


class CachedClusters:
    """Readings of the fleet cache (`app.observe`)."""

    def __init__(self, view: FleetView) -> None:
        self._view = view
        self._first_seen: dict[str, float] = {}

    async def read(self, names: dict[str, str], now: float) -> tuple[ClusterState, ...]:
        try:
            async with asyncio.timeout(30):
                readings = await self._view.read_fleet((ResourceType.JOB, ResourceType.POD))
        except (ObservationUnavailableError, TimeoutError) as error:
            raise UnavailableError(f"the fleet cache: {error}") from error
        return tuple(
            self._state(reading, names[reading.cluster], now) for reading in readings if reading.cluster in names
        )

    def _state(self, reading: ClusterReading, server_id: str, now: float) -> ClusterState:
        pods: dict[str, PodView] = {}
        for item in reading.objects:
            deployment_id = item.labels.get(labels.DEPLOYMENT_ID)
            if deployment_id:
                pods[deployment_id] = self._pod(pods.get(deployment_id), item, deployment_id, server_id, now)
        completed = reading.completed_at.timestamp() if reading.completed_at and reading.supports_absence else None
        return ClusterState(reading.cluster, reading.health.is_healthy, completed, tuple(pods.values()))

    def _pod(
        self, known: PodView | None, item: ObservedObject, deployment_id: str, server_id: str, now: float
    ) -> PodView:
        seen_at = self._first_seen.setdefault(deployment_id, now)
        finished = item.kind is ResourceType.POD and item.phase in FINISHED_PHASES
        return PodView(
            deployment_id,
            server_id,
            seen_at,
            item.labels.get(labels.CONFIG_ID) or (known.config_id if known else None),
            item.labels.get(labels.JOB_ID) or (known.job_id if known else None),
            ready=known is not None and known.ready,
            finished=finished or (known is not None and known.finished),
        )


class LiveClusters:
    """Lists of the live APIs, cluster by cluster side by side; for fleets without a monitor, and for tests."""

    def __init__(self, clusters: ClustersPort, clock: Callable[[], float]) -> None:
        self._clusters, self._clock = clusters, clock

    async def read(self, names: dict[str, str], now: float) -> tuple[ClusterState, ...]:
        async def one(name: str, server_id: str) -> ClusterState:
            started = self._clock()  # the list shows at least everything that was there before it was asked for
            try:
                pods = await (await self._clusters.of(server_id)).list_pods(server_id)
            except UnavailableError:
                return ClusterState(name, healthy=False, completed_at=None, pods=())
            return ClusterState(name, healthy=True, completed_at=max(started, now), pods=pods)

        return tuple(await asyncio.gather(*(one(name, server_id) for name, server_id in names.items())))
