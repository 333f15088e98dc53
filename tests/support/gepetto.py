"""Small worlds for Gepetto's tests. Everything here is made up."""

from __future__ import annotations

from dataclasses import replace

from app.gepetto.world.snapshot import Snapshot, SourceName, cluster_source
from app.gepetto.world.views import (
    ChuteView,
    DeploymentState,
    DeploymentView,
    InstanceView,
    PodView,
    ServerView,
    Source,
)

NOW = 1_700_000_000.0
VALIDATOR = "5Validator"
HOTKEY = "5Miner"


def make_server(number: int = 0, **changes: object) -> ServerView:
    """An empty confidential server with eight pro_6000."""
    server = ServerView(
        id=f"server-{number:03}",
        name=f"node-{number:03}",
        validator=VALIDATOR,
        gpu_type="pro_6000",
        gpu_total=8,
        free_mask=0xFF,
        hourly_cost=1.0,
        tee=True,
        vm_version=(1, 4, 0),
        gpu_ids=tuple(f"{number:04x}{gpu:028x}" for gpu in range(8)),
    )
    return replace(server, **changes)  # type: ignore[arg-type]


def make_chute(number: int = 0, **changes: object) -> ChuteView:
    """A public confidential chute for one pro_6000 that the validator wants two more copies of."""
    chute = ChuteView(
        id=f"chute-{number:03}",
        version="1",
        name=f"made-up chute {number}",
        validator=VALIDATOR,
        gpu_count=1,
        gpu_types=frozenset({"pro_6000"}),
        tee=True,
        m_eff=0.9,
        m_target=0.9,
        target=2,
        live=1,
        global_active=1,
        runtime_version=(0, 6, 0),
    )
    return replace(chute, **changes)  # type: ignore[arg-type]


def make_deployment(name: str, server: ServerView, chute: ChuteView, mask: int, **changes: object) -> DeploymentView:
    """An active, paid copy; ten hours old."""
    deployment = DeploymentView(
        id=name,
        chute_id=chute.id,
        version=chute.version,
        server_id=server.id,
        gpu_mask=mask,
        state=DeploymentState.ACTIVE,
        since=NOW - 36_000,
        created_at=NOW - 36_600,
        validator=VALIDATOR,
        activated_at=NOW - 36_000,
        verified_at=NOW - 36_100,
        config_id=f"config-{name}",
        instance_id=f"instance-{name}",
        multiplier=chute.m_eff,
        public=chute.public,
        preemptible=chute.preemptible,
    )
    return replace(deployment, **changes)  # type: ignore[arg-type]


def pod_of(row: DeploymentView, **changes: object) -> PodView:
    """The running pod of a row."""
    return replace(PodView(row.id, row.server_id, row.created_at, row.config_id, row.job_id, ready=True), **changes)  # type: ignore[arg-type]


def instance_of(row: DeploymentView) -> InstanceView:
    """The validator's record of a row."""
    return InstanceView(
        row.instance_id or "", row.chute_id, row.config_id, row.created_at, row.active, row.verified_at, VALIDATOR
    )


def fresh_sources(servers: tuple[ServerView, ...], at: float = NOW) -> dict[str, Source]:
    """Every source complete at that moment."""
    names = [name.value for name in SourceName] + [cluster_source(server.name) for server in servers]
    return {name: Source(at, complete=True) for name in names}


def make_snapshot(
    servers: tuple[ServerView, ...],
    chutes: tuple[ChuteView, ...],
    deployments: tuple[DeploymentView, ...] = (),
    **changes: object,
) -> Snapshot:
    """A snapshot in which every copy has its pod and its instance, and every source is fresh."""
    with_instance = tuple(row for row in deployments if row.instance_id)
    snapshot = Snapshot(
        now=NOW,
        servers=servers,
        chutes=chutes,
        deployments=deployments,
        pods=tuple(pod_of(row) for row in deployments if row.state is not DeploymentState.RESERVED),
        instances=tuple(instance_of(row) for row in with_instance),
        sources=fresh_sources(servers),
        hotkey=HOTKEY,
    )
    return replace(snapshot, **changes)  # type: ignore[arg-type]
