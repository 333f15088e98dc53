"""What the clusters show, from the fleet cache or from the live APIs, as one kind of reading (spec: gepetto 24.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import orjson
import structlog

from app.gepetto.kubernetes.disk import free_disk_gb
from app.gepetto.kubernetes.reading import node_state
from app.gepetto.ports import ClustersPort, UnavailableError
from app.gepetto.world.views import NodeState, PodView
from app.observe.readings import ClusterReading, FleetView, ObservationUnavailableError, ObservedObject
from app.protocol import labels
from app.protocol.channels import ResourceType

log = structlog.get_logger(__name__)

#: Age from which a disk reading is made again though no pod changed.
DISK_SECONDS: Final = 300.0
#: Answers of more clusters, all there at the same moment, would keep everybody else waiting while they are read.
CLUSTERS_AT_ONCE: Final = 32
FINISHED_PHASES = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class ClusterState:
    """One cluster: its deployments' pods, and since when that list is complete. `completed_at` None: it never was.

    `disk_free_gb` is the node's free disk in GiB; None where nobody could tell. `node` says whether it takes pods.
    """

    name: str
    healthy: bool
    completed_at: float | None
    pods: tuple[PodView, ...]
    disk_free_gb: float | None = None
    node: NodeState = NodeState.OPEN


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
        self._disks: dict[str, tuple[frozenset[str], float, float | None]] = {}
        self._nodes: dict[str, tuple[frozenset[str], NodeState]] = {}

    async def read(self, names: dict[str, str], now: float) -> tuple[ClusterState, ...]:
        try:
            async with asyncio.timeout(30):
                readings = await self._view.read_fleet((ResourceType.JOB, ResourceType.POD, ResourceType.NODE))
                known = [reading for reading in readings if reading.cluster in names]
                states = [self._state(reading, names[reading.cluster], now) for reading in known]
                disks = [await self._disk(reading, now) for reading in known]
                nodes = [await self._node(reading) for reading in known]
        except (ObservationUnavailableError, TimeoutError) as error:
            raise UnavailableError(f"the fleet cache: {error}") from error
        found = zip(states, disks, nodes, strict=True)
        return tuple(replace(state, disk_free_gb=disk, node=node) for state, disk, node in found)

    async def _node(self, reading: ClusterReading) -> NodeState:
        """Whether the cluster's node takes pods; its body is read again when it changed."""
        versions = frozenset(f"{item.uid}/{item.resource_version}" for item in reading.of(ResourceType.NODE))
        known = self._nodes.get(reading.cluster)
        if known is not None and known[0] == versions:
            return known[1]
        nodes = await self._view.bodies(reading.cluster, ResourceType.NODE)
        states = {node_state(orjson.loads(body)) for body in nodes.values()}
        found = next((state for state in reversed(NodeState) if state in states), NodeState.OPEN)
        self._nodes[reading.cluster] = (versions, found)
        return found

    async def _disk(self, reading: ClusterReading, now: float) -> float | None:
        """Free disk, worked out anew when the cluster's pods change, and now and then."""
        pods = frozenset(f"{item.uid}/{item.phase}" for item in reading.of(ResourceType.POD))
        known = self._disks.get(reading.cluster)
        if known is not None and known[0] == pods and now - known[1] < DISK_SECONDS:
            return known[2]
        nodes = await self._view.bodies(reading.cluster, ResourceType.NODE)
        bodies = await self._view.bodies(reading.cluster, ResourceType.POD)
        node = next((orjson.loads(body) for body in nodes.values()), None)
        free = None if node is None else free_disk_gb(node, (orjson.loads(body) for body in bodies.values()))
        self._disks[reading.cluster] = (pods, now, free)
        return free

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
        return PodView(
            deployment_id,
            server_id,
            seen_at,
            item.labels.get(labels.CONFIG_ID) or (known.config_id if known else None),
            item.labels.get(labels.JOB_ID) or (known.job_id if known else None),
            ready=known is not None and known.ready,
            finished=item.phase in FINISHED_PHASES or (known is not None and known.finished),
        )


class LiveClusters:
    """Lists of the live APIs, cluster by cluster side by side; for fleets without a monitor, and for tests."""

    def __init__(self, clusters: ClustersPort, clock: Callable[[], float]) -> None:
        self._clusters, self._clock = clusters, clock

    async def read(self, names: dict[str, str], now: float) -> tuple[ClusterState, ...]:
        places = asyncio.Semaphore(CLUSTERS_AT_ONCE)

        async def one(name: str, server_id: str) -> ClusterState:
            async with places:
                return await self._one(name, server_id, now)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(name, server_id)) for name, server_id in names.items()]
        return tuple(task.result() for task in tasks)

    async def _one(self, name: str, server_id: str, now: float) -> ClusterState:
        started = self._clock()  # the list shows at least everything that was there before it was asked for
        try:
            cluster = await self._clusters.of(server_id)
            pods, disk = await cluster.list_pods(server_id), await cluster.disk_free_gb()
            node = await cluster.node_state(name)
        except UnavailableError:
            return ClusterState(name, healthy=False, completed_at=None, pods=())
        except Exception:  # what one server answers concerns no other
            log.exception("a cluster's answer cannot be understood", server=name)
            return ClusterState(name, healthy=False, completed_at=None, pods=())
        at = max(started, now)
        return ClusterState(name, healthy=True, completed_at=at, pods=pods, disk_free_gb=disk, node=node)
