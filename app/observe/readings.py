"""What a reader of the fleet cache gets: data, health, generation and age, never data alone (spec: agent-monitor 20.5).

Pure data and one Protocol; `app.observe.view` implements it over Redis. A reader that deletes something on the strength
of an absence must first ask `ClusterReading.supports_absence`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from app.protocol.channels import ResourceType
from app.protocol.objects import EventType

ALL_KINDS: Final = tuple(ResourceType)


class ClusterState(StrEnum):
    """State of a cluster. The first five are the public monitor's words; `ABSENT` is ours and is never stored."""

    INACTIVE = "inactive"
    STARTING = "starting"
    ACTIVE = "active"
    ERROR = "error"
    UNHEALTHY = "unhealthy"
    ABSENT = "absent"

    @property
    def is_healthy(self) -> bool:
        return self in {ClusterState.ACTIVE, ClusterState.STARTING}


@dataclass(frozen=True)
class ClusterHealth:
    """Health by the monitor's own clock: `received_at` is when the last sign of life arrived, not what it claimed."""

    cluster: str
    state: ClusterState
    received_at: datetime | None = None
    message: str | None = None

    @property
    def is_healthy(self) -> bool:
        """False for a cluster that nobody reports: an absent status is not a healthy one."""
        return self.state.is_healthy


@dataclass(frozen=True)
class ObservedObject:
    """One Kubernetes object as last seen. `is_unconfirmed`: a report lacked it, and nothing has proven it gone."""

    cluster: str
    kind: ResourceType
    namespace: str | None
    name: str
    uid: str
    resource_version: str
    labels: Mapping[str, str] = field(default_factory=dict)
    node_name: str | None = None
    phase: str | None = None
    is_terminating: bool = False
    is_unconfirmed: bool = False


@dataclass(frozen=True)
class ClusterReading:
    """One cluster's objects, read in one step.

    Args:
        generation: grows with every complete list that was taken in; 0 means that there has been none.
        completed_at: when that list arrived; None with generation 0.
        read_at: when this reading was taken, by the reader's clock.
    """

    cluster: str
    health: ClusterHealth
    generation: int
    completed_at: datetime | None
    read_at: datetime
    objects: tuple[ObservedObject, ...]

    @property
    def age_seconds(self) -> float | None:
        """Seconds since the last complete list; None when there has been none."""
        return None if self.completed_at is None else (self.read_at - self.completed_at).total_seconds()

    @property
    def supports_absence(self) -> bool:
        """Whether an object's absence from this reading is evidence at all: healthy, and a complete list was taken in.

        Evidence, not proof: who deletes must see it in two generations 60 s apart and confirm it by a live read.
        """
        return self.health.is_healthy and self.generation > 0

    def of(self, kind: ResourceType) -> tuple[ObservedObject, ...]:
        """The objects of one kind."""
        return tuple(item for item in self.objects if item.kind is kind)


#: What happened to an object, in the words of the events that agents send.
ChangeKind = EventType


@dataclass(frozen=True)
class Change:
    """One change of one object. `position` is the place in the change log to go on from."""

    position: str
    cluster: str
    kind: ResourceType
    change: ChangeKind
    namespace: str | None
    name: str
    uid: str
    resource_version: str


class AmbiguousObjectError(LookupError):
    """A name was found in more than one cluster."""


class ObservationUnavailableError(RuntimeError):
    """The cache cannot be read now: nothing is known, and in particular nothing is known to be gone."""


class FleetView(Protocol):
    """Reads of the fleet cache. Every method raises `ObservationUnavailableError` when Redis cannot be reached."""

    async def cluster_names(self) -> tuple[str, ...]:
        """Every cluster that is tracked, healthy or not, in order of name."""
        ...

    async def health(self, cluster: str) -> ClusterHealth:
        """A cluster's health; state `ABSENT` when it is not tracked."""
        ...

    async def read_cluster(self, cluster: str, kinds: Collection[ResourceType] = ALL_KINDS) -> ClusterReading:
        """One cluster's objects of these kinds, with health, generation and age, in one atomic read."""
        ...

    async def read_fleet(self, kinds: Collection[ResourceType] = ALL_KINDS) -> tuple[ClusterReading, ...]:
        """Every tracked cluster."""
        ...

    async def find_by_label(self, kind: ResourceType, label: str, value: str) -> tuple[ObservedObject, ...]:
        """Objects of a kind by one of the indexed labels (`view.INDEXED_LABELS`).

        Raises:
            ValueError: the label is not indexed.
        """
        ...

    async def find_on_node(self, node_name: str) -> tuple[ObservedObject, ...]:
        """Pods bound to a node."""
        ...

    async def locate(self, kind: ResourceType, namespace: str | None, name: str) -> ObservedObject | None:
        """The object of this name, whichever cluster holds it; None when none does.

        Raises:
            AmbiguousObjectError: several clusters hold one.
        """
        ...

    async def body(self, item: ObservedObject) -> bytes | None:
        """The object's Kubernetes JSON as it was received; None when it has gone meanwhile."""
        ...

    async def bodies(self, cluster: str, kind: ResourceType) -> Mapping[str, bytes]:
        """Every body of a cluster's objects of one kind, by field. Large: not at every decision."""
        ...

    async def position(self) -> str:
        """The end of the change log now: take it before reading, and no change falls between reading and waiting."""
        ...

    def changes(self, after: str) -> AsyncIterator[Change]:
        """Changes after a position, in order, each once; waits for more without end."""
        ...


class FleetJanitor(Protocol):
    """The only writes of consumers."""

    async def remove_cluster(self, cluster: str) -> None:
        """Forget a cluster at once; for the miner API, when the operator removes the server."""
        ...

    async def mark_unhealthy(self, cluster: str, reason: str) -> None:
        """Stop trusting a tracked cluster until its agent has sent a complete list. No effect on an untracked one."""
        ...
