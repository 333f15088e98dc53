"""The snapshot: everything one decision sees, frozen (spec: gepetto 24.1, 24.9). No I/O, no clock."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import orjson

from app.gepetto.world.views import (
    ChuteView,
    DeploymentView,
    Failure,
    InstanceView,
    JobView,
    Order,
    PodView,
    ServerView,
    Source,
)


class SourceName(StrEnum):
    """Feeds of the validator. A cluster's source is named `cluster:<server name>`."""

    CHUTES = "chutes"
    INSTANCES = "instances"
    ACTIVE_INSTANCES = "active_instances"
    UTILIZATION = "utilization"
    SERVERS = "servers"
    NODES = "nodes"
    DATABASE = "database"


UNKNOWN: Final = Source()
NO_SOURCES: Final[Mapping[str, Source]] = MappingProxyType({})


def cluster_source(server_name: str) -> str:
    """Name of the source that stands for one cluster."""
    return f"cluster:{server_name}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of the world. Tuples keep their order from one snapshot to the next, so that work can be reused.

    Attributes:
        now: the moment, UTC epoch seconds. The only clock that a decision knows.
        seed: breaks ties, so that equal inputs give equal decisions.
        hotkey: ours, for exclusions.
    """

    now: float
    servers: tuple[ServerView, ...] = ()
    chutes: tuple[ChuteView, ...] = ()
    deployments: tuple[DeploymentView, ...] = ()
    jobs: tuple[JobView, ...] = ()
    failures: tuple[Failure, ...] = ()
    pods: tuple[PodView, ...] = ()
    instances: tuple[InstanceView, ...] = ()
    orders: tuple[Order, ...] = ()
    sources: Mapping[str, Source] = field(default_factory=lambda: NO_SOURCES)
    seed: int = 0
    hotkey: str = ""

    def source(self, name: str) -> Source:
        """The state of one source; one that was never heard of is incomplete."""
        return self.sources.get(name, UNKNOWN)

    def digest(self) -> str:
        """Short fingerprint of the inputs, for the decision journal: the same in every process."""
        parts = (self.now, self.servers, self.chutes, self.deployments, self.jobs, self.failures, self.seed)
        return hashlib.blake2b(orjson.dumps(parts, default=_plain), digest_size=12).hexdigest()


def _plain(value: object) -> object:
    """What orjson does not know, in one order in every process: the order of a set differs from one to the next."""
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return sorted(value.items())
    raise TypeError(f"a snapshot holds no {type(value).__name__}")
