"""Rows of our database and a validator's instances as a decision sees them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from app.gepetto.ingest.clusters import ClusterState
from app.gepetto.ingest.rows import DeploymentRow, ServerRow
from app.gepetto.world.views import NOTHING, DeploymentState, DeploymentView, InstanceView, NodeState, ServerView
from app.protocol.instances import InstanceRecord
from app.protocol.servers import RemoteServer
from app.protocol.wire import version_tuple

#: Free disk assumed where nobody measured it, in GiB.
ASSUMED_DISK_GB: Final = 500.0
MAINTENANCE_PENDING: Final = 0.0
#: Failed launches of different chutes from which on a server is left alone, and for how long at a time.
QUARANTINE_FAILURES: Final = 3
QUARANTINE_SECONDS: Final = 60.0
LEASE_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What is known of a server beside its row."""

    remote: RemoteServer | None
    cluster: ClusterState | None
    is_fresh: bool
    starts: int = 0
    flying_mask: int = 0
    failures: int = 0
    cached: Mapping[str, int] = field(default_factory=lambda: NOTHING)

    @property
    def node(self) -> NodeState:
        """Whether its node takes pods; one of which nothing is known does."""
        return NodeState.OPEN if self.cluster is None else self.cluster.node

    @property
    def disk_free_gb(self) -> float:
        """Free disk in GiB, or what is assumed of one that nobody measured."""
        measured = None if self.cluster is None else self.cluster.disk_free_gb
        return ASSUMED_DISK_GB if measured is None else measured


def server_view(row: ServerRow, facts: ServerFacts, now: float) -> ServerView:
    """The view. Free are verified GPUs of the server's usual model that nothing has or is about to get.

    A node that is closed for pods counts as locked: it is drained, restarted or was left so by a roll-out that stopped.
    """
    model = _usual_model(row)
    remote, cluster = facts.remote, facts.cluster
    return ServerView(
        id=row.server_id,
        name=row.name,
        validator=row.validator,
        gpu_type=model,
        gpu_total=len(row.gpus),
        free_mask=_free_mask(row, model) & ~facts.flying_mask,
        hourly_cost=row.hourly_cost,
        locked=row.locked or facts.node is not NodeState.OPEN,
        tee=row.is_tee,
        vm_version=version_tuple(remote.version) if remote is not None and remote.version else None,
        healthy=cluster is not None and cluster.healthy and facts.is_fresh,
        maintenance_at=MAINTENANCE_PENDING if remote is not None and remote.maintenance_pending else None,
        disk_free_gb=facts.disk_free_gb,
        cached_chutes=facts.cached,
        starts_in_progress=facts.starts,
        quarantine_until=now + QUARANTINE_SECONDS if facts.failures >= QUARANTINE_FAILURES else 0.0,
        gpu_ids=tuple(gpu for gpu, _, _, _ in row.gpus),
        draining=facts.node is NodeState.DRAINING and facts.is_fresh,
    )


def _free_mask(row: ServerRow, model: str) -> int:
    """The bits of verified GPUs of a model that no deployment has."""
    mask = 0
    for bit, (_, ref, verified, deployment_id) in enumerate(row.gpus):
        if verified and deployment_id is None and ref == model:
            mask |= 1 << bit
    return mask


def _usual_model(row: ServerRow) -> str:
    models = Counter(model for _, model, _, _ in row.gpus)
    return models.most_common(1)[0][0] if models else ""


def deployment_view(row: DeploymentRow, gpu_mask: int, multiplier: float, *, public: bool) -> DeploymentView:
    """The view. A launch that is being worked on has a lease: nobody else takes it for abandoned."""
    created = row.created_at or 0.0
    return DeploymentView(
        id=row.deployment_id,
        chute_id=row.chute_id,
        version=row.version,
        server_id=row.server_id,
        gpu_mask=gpu_mask,
        state=state_of(row),
        since=row.activated_at or row.verified_at or created,
        created_at=created,
        validator=row.validator,
        activated_at=row.activated_at,
        verified_at=row.verified_at,
        config_id=row.config_id,
        instance_id=row.instance_id,
        multiplier=multiplier,
        job_id=row.job_id,
        preemptible=row.preemptible,
        public=public,
        lease_until=0.0 if row.worked_at is None else row.worked_at + LEASE_SECONDS,
    )


def state_of(row: DeploymentRow) -> DeploymentState:
    """How far a copy has come (spec: gepetto 4.6)."""
    if row.draining:
        return DeploymentState.DRAINING
    if row.active:
        return DeploymentState.ACTIVE
    if row.verified_at is not None:
        return DeploymentState.VERIFIED
    if row.instance_id is not None:
        return DeploymentState.KNOWN
    return DeploymentState.RESERVED if row.stub else DeploymentState.LAUNCHED


def masks_of(servers: tuple[ServerRow, ...]) -> dict[str, int]:
    """GPU masks by deployment."""
    masks: dict[str, int] = {}
    for server in servers:
        for bit, (_, _, _, deployment_id) in enumerate(server.gpus):
            if deployment_id is not None:
                masks[deployment_id] = masks.get(deployment_id, 0) | 1 << bit
    return masks


def instance_view(validator: str, item: InstanceRecord) -> InstanceView:
    """The view."""
    return InstanceView(
        id=item.instance_id,
        chute_id=item.chute_id,
        config_id=item.config_id,
        created_at=item.created_at.timestamp() if item.created_at else 0.0,
        active=bool(item.active),
        verified_at=item.last_verified_at.timestamp() if item.last_verified_at else None,
        validator=validator,
    )
