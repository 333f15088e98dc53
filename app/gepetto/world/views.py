"""Frozen views of everything that a decision may look at (spec: gepetto 24.9). Data only, no behaviour with effects.

All moments (`*_at`) are UTC epoch seconds as floats. A GPU mask has bit i set for the server's i-th GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

Version = tuple[int, int, int]
NOTHING: Final[Mapping[str, int]] = MappingProxyType({})
NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})
PAID_AFTER_SECONDS: Final = 3600.0


class DeploymentState(StrEnum):
    """How far one copy has come (spec: gepetto 4.6)."""

    RESERVED = "reserved"
    LAUNCHED = "launched"
    KNOWN = "known"
    VERIFIED = "verified"
    ACTIVE = "active"
    DRAINING = "draining"


class NodeState(StrEnum):
    """Whether a node takes pods. `DRAINING` is closed, and an operator's act wants what runs there to end."""

    OPEN = "open"
    CLOSED = "closed"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class ServerView:
    """One GPU machine, which is also one cluster. `free_mask` holds verified GPUs that nothing has or waits for."""

    id: str
    name: str
    validator: str
    gpu_type: str
    gpu_total: int
    free_mask: int
    draining_mask: int = 0
    hourly_cost: float = 0.0
    locked: bool = False
    tee: bool = False
    vm_version: Version | None = None
    healthy: bool = True
    synced_at: float | None = None
    maintenance_at: float | None = None
    disk_free_gb: float = 1000.0
    cached_chutes: Mapping[str, int] = field(default_factory=lambda: NOTHING)
    cached_images: frozenset[str] = frozenset()
    starts_in_progress: int = 0
    quarantine_until: float = 0.0
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    gpu_ids: tuple[str, ...] = ()
    draining: bool = False

    @property
    def free(self) -> int:
        """How many GPUs are free."""
        return self.free_mask.bit_count()


@dataclass(frozen=True, slots=True)
class ChuteView:
    """One chute as its validator offers it, with what we run of it.

    `live` counts every miner's copies at the validator, ours included; `my_pending` counts copies of ours that are on
    their way and that `live` does not hold yet. `allowance` and `target` are None where the validator did not say.
    `global_active` and `others_active` are 0 while the validator's list of active instances is old.
    """

    id: str
    version: str
    name: str
    validator: str
    gpu_count: int
    gpu_types: frozenset[str]
    tee: bool = False
    public: bool = True
    preemptible: bool = True
    has_cords: bool = True
    is_cpu: bool = False
    banned: bool = False
    disabled: bool = False
    scalable: bool = True
    update_in_progress: bool = False
    image: str = ""
    runtime_version: Version = (0, 0, 0)
    m_eff: float = 1.0
    m_target: float = 1.0
    bounty_boost: float = 1.0
    bounty: bool = False
    allowance: int | None = None
    target: int | None = None
    live: int = 0
    utilization: float = 0.0
    rate_limit: float = 0.0
    max_instances: int | None = None
    my_active: int = 0
    my_pending: int = 0
    global_active: int = 0
    others_active: int = 0
    start_seconds: float = 300.0
    start_seconds_p90: float = 900.0
    lifetime_seconds: float | None = None
    success_rate: float | None = None
    refuse_until: float = 0.0
    model_bytes: int = 0


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """One copy of a chute on one of our servers."""

    id: str
    chute_id: str
    version: str
    server_id: str
    gpu_mask: int
    state: DeploymentState
    since: float
    created_at: float
    validator: str = ""
    activated_at: float | None = None
    verified_at: float | None = None
    config_id: str | None = None
    instance_id: str | None = None
    multiplier: float = 0.0
    job_id: str | None = None
    preemptible: bool = True
    public: bool = True
    lease_until: float = 0.0

    @property
    def gpu_count(self) -> int:
        return self.gpu_mask.bit_count()

    @property
    def active(self) -> bool:
        return self.state is DeploymentState.ACTIVE

    @property
    def paid_at(self) -> float | None:
        """When the copy has run its first hour, before which its end pays nothing; None before activation."""
        return None if self.activated_at is None else self.activated_at + PAID_AFTER_SECONDS

    def has_paid(self, now: float) -> bool:
        """Whether its first hour is over."""
        return self.paid_at is not None and self.paid_at <= now


@dataclass(frozen=True, slots=True)
class JobView:
    """A one-shot run that the validator announced and nobody of ours has taken."""

    id: str
    chute_id: str
    gpu_count: int
    multiplier: float
    announced_at: float
    disk_gb: int = 10
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Failure:
    """How often launches of a chute on a server failed in a row, and until when it is left alone."""

    server_id: str
    chute_id: str
    count: int
    until: float


@dataclass(frozen=True, slots=True)
class PodView:
    """What a cluster shows of one deployment: its Job and its pods together."""

    deployment_id: str
    server_id: str
    created_at: float
    config_id: str | None = None
    job_id: str | None = None
    ready: bool = False
    finished: bool = False


@dataclass(frozen=True, slots=True)
class InstanceView:
    """The validator's record of one of our copies."""

    id: str
    chute_id: str
    config_id: str | None
    created_at: float
    active: bool = False
    verified_at: float | None = None
    validator: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """One source of knowledge: when it was last complete, and how often it has failed since."""

    completed_at: float | None = None
    complete: bool = False
    errors: int = 0

    def is_fresh(self, now: float, limit_seconds: float) -> bool:
        """Whether the last complete reading is at most so old."""
        return self.complete and self.completed_at is not None and now - self.completed_at <= limit_seconds


class OrderKind(StrEnum):
    """What the validator or the operator has said in so many words; positive evidence, unlike an absence."""

    INSTANCE_DELETED = "instance_deleted"
    JOB_ENDED = "job_ended"
    ROLLING_UPDATE = "rolling_update"
    PURGE = "purge"
    SERVER_DELETED = "server_deleted"


@dataclass(frozen=True, slots=True)
class Order:
    """An explicit word about one deployment or server, kept until it is done."""

    kind: OrderKind
    subject_id: str
    said_at: float
    source: str = ""
