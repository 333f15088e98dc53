"""The world as gathered so far, and snapshots of it (spec: gepetto 24.1, 24.9). No I/O.

Views are made anew only for what changed, so that a decision can reuse its columns for the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from app.gepetto.decision.intents import Intent, Launch, Swap
from app.gepetto.ingest.clusters import ClusterState
from app.gepetto.ingest.rows import DeploymentRow, Rows, ServerRow
from app.gepetto.world.snapshot import Snapshot, SourceName, cluster_source
from app.gepetto.world.views import (
    NOTHING,
    ChuteView,
    DeploymentState,
    DeploymentView,
    Failure,
    InstanceView,
    JobView,
    Order,
    OrderKind,
    ServerView,
    Source,
)
from app.protocol.chutes import ChuteRecord, Utilization
from app.protocol.instances import ActiveInstance, InstanceRecord
from app.protocol.servers import RemoteServer
from app.protocol.wire import version_tuple

#: Free disk assumed where nobody measured it.
ASSUMED_DISK_GB = 500.0
JOB_LIFE_SECONDS = 600.0
ORDER_LIFE_SECONDS = 24 * 3600.0
MAINTENANCE_PENDING = 0.0
LEASE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Bounty:
    """What an event said of a chute's bounty, until the next list says otherwise."""

    multiplier: float | None
    boost: float | None
    heard_at: float


@dataclass
class World:
    """Mutable, of one event loop. `hotkey` is ours; `fresh_seconds` is when a cluster's reading counts as stale."""

    hotkey: str
    fresh_seconds: float = 180.0
    seed: int = 0
    rows: Rows = field(default_factory=Rows)
    chutes: dict[str, tuple[str, ChuteRecord]] = field(default_factory=dict)
    utilization: dict[str, Utilization] = field(default_factory=dict)
    instances: dict[str, tuple[str, InstanceRecord]] = field(default_factory=dict)
    active: tuple[ActiveInstance, ...] = ()
    remote_servers: dict[str, RemoteServer] = field(default_factory=dict)
    clusters: dict[str, ClusterState] = field(default_factory=dict)
    bounties: dict[str, Bounty] = field(default_factory=dict)
    jobs: dict[str, JobView] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    warmed: set[tuple[str, str]] = field(default_factory=set)
    _chute_views: dict[str, ChuteView] = field(default_factory=dict)
    _server_views: dict[str, ServerView] = field(default_factory=dict)

    def note(self, name: str, at: float, *, complete: bool) -> None:
        """Record a reading of a source: only a complete one renews it."""
        known = self.sources.get(name, Source())
        self.sources[name] = Source(at, complete=True) if complete else replace(known, errors=known.errors + 1)

    # Lists of one validator replace that validator's part only, and only when they are complete.
    def take_chutes(self, validator: str, items: Iterable[ChuteRecord], at: float, *, complete: bool) -> None:
        if complete:
            kept = {key: value for key, value in self.chutes.items() if value[0] != validator}
            self.chutes = kept | {item.chute_id: (validator, item) for item in items}
            self.bounties = {key: value for key, value in self.bounties.items() if value.heard_at > at - 60}
        self.note(SourceName.CHUTES, at, complete=complete)

    def take_instances(self, validator: str, items: Iterable[InstanceRecord], at: float, *, complete: bool) -> None:
        if complete:
            kept = {key: value for key, value in self.instances.items() if value[0] != validator}
            self.instances = kept | {item.instance_id: (validator, item) for item in items}
        self.note(SourceName.INSTANCES, at, complete=complete)

    def take_clusters(self, states: Iterable[ClusterState], now: float) -> None:
        """Readings by cluster; one without a complete list keeps what was known and grows stale."""
        for state in states:
            name = cluster_source(state.name)
            if state.completed_at is None:
                self.note(name, now, complete=False)
                known = self.clusters.get(state.name)
                self.clusters[state.name] = replace(known, healthy=False) if known else state
            else:
                self.sources[name] = Source(state.completed_at, complete=True)
                self.clusters[state.name] = state

    def order(self, kind: OrderKind, subject: str, at: float, source: str = "") -> None:
        """Keep an explicit word until it is done."""
        self.orders[f"{kind}:{subject}"] = Order(kind, subject, at, source)

    def snapshot(self, now: float, in_flight: Iterable[Intent] = ()) -> Snapshot:
        """The world now, with launches that are under way counted as if they had begun."""
        flying = [intent.launch if isinstance(intent, Swap) else intent for intent in in_flight]
        launching = [intent for intent in flying if isinstance(intent, Launch)]
        self.jobs = {key: job for key, job in self.jobs.items() if now - job.announced_at < JOB_LIFE_SECONDS}
        self.orders = {key: order for key, order in self.orders.items() if now - order.said_at < ORDER_LIFE_SECONDS}
        taken = {row.job_id for row in self.rows.deployments} | {launch.job_id for launch in launching}
        deployments = self._deployments()
        return Snapshot(
            now=now,
            servers=self._servers(now, launching),
            chutes=self._chutes(launching),
            deployments=deployments,
            jobs=tuple(job for job in self.jobs.values() if job.id not in taken),
            failures=tuple(Failure(s, c, n, until) for c, s, n, until in self.rows.failures if s != "*"),
            pods=tuple(pod for state in self.clusters.values() for pod in state.pods),
            instances=tuple(_instance_view(validator, item) for validator, item in self.instances.values()),
            orders=tuple(self.orders.values()) + self._requests(),
            sources=dict(self.sources),
            seed=self.seed,
            hotkey=self.hotkey,
        )

    def _requests(self) -> tuple[Order, ...]:
        kinds = {"undeploy": OrderKind.PURGE, "delete_server": OrderKind.SERVER_DELETED}
        found = self.rows.requests
        return tuple(Order(kinds[r.kind], r.subject, r.created_at, f"request {r.id}") for r in found if r.kind in kinds)

    def _multipliers(self) -> dict[str, float]:
        return {item.instance_id: item.compute_multiplier or 0.0 for item in self.active}

    def _deployments(self) -> tuple[DeploymentView, ...]:
        multipliers = self._multipliers()
        masks = _masks(self.rows.servers)
        return tuple(self._deployment(row, masks, multipliers) for row in self.rows.deployments)

    def _deployment(
        self, row: DeploymentRow, masks: Mapping[str, int], multipliers: Mapping[str, float]
    ) -> DeploymentView:
        record = self.chutes.get(row.chute_id)
        created = row.created_at or 0.0
        return DeploymentView(
            id=row.deployment_id,
            chute_id=row.chute_id,
            version=row.version,
            server_id=row.server_id,
            gpu_mask=masks.get(row.deployment_id, 0),
            state=_state(row),
            since=row.activated_at or row.verified_at or created,
            created_at=created,
            validator=row.validator,
            activated_at=row.activated_at,
            verified_at=row.verified_at,
            config_id=row.config_id,
            instance_id=row.instance_id,
            multiplier=multipliers.get(row.instance_id or "", 0.0),
            job_id=row.job_id,
            preemptible=row.preemptible,
            public=record is None or record[1].public is not False,
            lease_until=0.0 if row.worked_at is None else row.worked_at + LEASE_SECONDS,
        )

    def _servers(self, now: float, launching: list[Launch]) -> tuple[ServerView, ...]:
        starts = Counter(row.server_id for row in self.rows.deployments if not row.active and not row.draining)
        starts.update(launch.server_id for launch in launching)
        flying: dict[str, int] = {}
        for launch in launching:
            flying[launch.server_id] = flying.get(launch.server_id, 0) | launch.gpu_mask
        failures = Counter(server for _, server, _, until in self.rows.failures if until > now and server != "*")
        fresh: dict[str, ServerView] = {}
        cached: dict[str, dict[str, int]] = {}
        for server_id, chute_id in (*self.rows.cached, *self.warmed):
            cached.setdefault(server_id, {})[chute_id] = 0  # the size is not known, that it ran there is
        for row in self.rows.servers:
            view = self._server(row, now, starts[row.server_id], flying.get(row.server_id, 0), failures[row.server_id])
            view = replace(view, cached_chutes=cached.get(row.server_id, NOTHING))
            known = self._server_views.get(row.server_id)
            fresh[row.server_id] = known if known == view else view
        self._server_views = fresh
        return tuple(fresh.values())

    def _server(self, row: ServerRow, now: float, starts: int, flying: int, failures: int) -> ServerView:
        remote = self.remote_servers.get(row.server_id)
        state = self.clusters.get(row.name)
        source = self.sources.get(cluster_source(row.name), Source())
        models = Counter(model for _, model, _, _ in row.gpus)
        model = models.most_common(1)[0][0] if models else ""
        free = 0
        for bit, (_, ref, verified, deployment_id) in enumerate(row.gpus):
            if verified and deployment_id is None and ref == model:
                free |= 1 << bit
        return ServerView(
            id=row.server_id,
            name=row.name,
            validator=row.validator,
            gpu_type=model,
            gpu_total=len(row.gpus),
            free_mask=free & ~flying,
            hourly_cost=row.hourly_cost,
            locked=row.locked,
            tee=row.is_tee,
            vm_version=version_tuple(remote.version) if remote is not None and remote.version else None,
            healthy=state is not None and state.healthy and source.is_fresh(now, self.fresh_seconds),
            maintenance_at=MAINTENANCE_PENDING if remote is not None and remote.maintenance_pending else None,
            disk_free_gb=ASSUMED_DISK_GB if state is None or state.disk_free_gb is None else state.disk_free_gb,
            starts_in_progress=starts,
            quarantine_until=now + 60 if failures >= 3 else 0.0,
            gpu_ids=tuple(gpu for gpu, _, _, _ in row.gpus),
        )

    def _chutes(self, launching: list[Launch]) -> tuple[ChuteView, ...]:
        rows = self.rows.deployments
        mine = Counter(row.chute_id for row in rows if row.active and row.job_id is None)
        # The validator's counts hold a copy from its claim on, that is once it has an instance.
        pending = Counter(
            row.chute_id for row in rows if not row.active and row.job_id is None and row.instance_id is None
        )
        flying = Counter(launch.chute_id for launch in launching if launch.job_id is None)
        everywhere = Counter(item.chute_id for item in self.active if item.activated_at is not None)
        banned = {row.chute_id for row in self.rows.chutes if row.banned}
        refused = {chute: until for chute, server, _, until in self.rows.failures if server == "*"}
        fresh: dict[str, ChuteView] = {}
        for chute_id, (validator, record) in self.chutes.items():
            view = _chute_view(
                validator,
                record,
                self.utilization.get(chute_id),
                self.bounties.get(chute_id),
                _Counts(mine[chute_id], pending[chute_id] + flying[chute_id], everywhere[chute_id]),
            )
            view = replace(view, banned=chute_id in banned, refuse_until=refused.get(chute_id, 0.0))
            known = self._chute_views.get(chute_id)
            fresh[chute_id] = known if known == view else view
        self._chute_views = fresh
        return tuple(fresh.values())


@dataclass(frozen=True, slots=True)
class _Counts:
    active: int
    pending: int
    everywhere: int


def _state(row: DeploymentRow) -> DeploymentState:
    if row.draining:
        return DeploymentState.DRAINING
    if row.active:
        return DeploymentState.ACTIVE
    if row.verified_at is not None:
        return DeploymentState.VERIFIED
    if row.instance_id is not None:
        return DeploymentState.KNOWN
    return DeploymentState.RESERVED if row.stub else DeploymentState.LAUNCHED


def _masks(servers: tuple[ServerRow, ...]) -> dict[str, int]:
    masks: dict[str, int] = {}
    for server in servers:
        for bit, (_, _, _, deployment_id) in enumerate(server.gpus):
            if deployment_id is not None:
                masks[deployment_id] = masks.get(deployment_id, 0) | 1 << bit
    return masks


def _instance_view(validator: str, item: InstanceRecord) -> InstanceView:
    return InstanceView(
        id=item.instance_id,
        chute_id=item.chute_id,
        config_id=item.config_id,
        created_at=item.created_at.timestamp() if item.created_at else 0.0,
        active=bool(item.active),
        verified_at=item.last_verified_at.timestamp() if item.last_verified_at else None,
        validator=validator,
    )


def _chute_view(
    validator: str, record: ChuteRecord, usage: Utilization | None, bounty: Bounty | None, counts: _Counts
) -> ChuteView:
    factors = record.compute_multiplier_factors or {}
    listed = factors.get("bounty_boost") or factors.get("bounty")
    boost = bounty.boost if bounty is not None and bounty.boost else listed if isinstance(listed, int | float) else 1.0
    multiplier = record.effective_compute_multiplier
    if bounty is not None and bounty.multiplier is not None:
        multiplier = bounty.multiplier
    now = 1.0 if multiplier is None else multiplier
    live = usage.total_instance_count if usage is not None else None
    return ChuteView(
        id=record.chute_id,
        version=record.version,
        name=record.name or "",
        validator=validator,
        gpu_count=record.gpu_count,
        gpu_types=frozenset(record.gpu_refs),
        tee=record.tee,
        public=record.public is not False,
        preemptible=record.preemptible,
        has_cords=record.cords is None or bool(record.cords),
        is_cpu=record.is_cpu_only,
        disabled=record.disabled,
        scalable=usage is None or usage.scalable is not False,
        update_in_progress=usage is not None and usage.update_in_progress is True,
        image=record.image,
        runtime_version=version_tuple(record.chutes_version),
        m_eff=now,
        m_target=now / boost if boost else now,
        bounty_boost=float(boost),
        bounty=bounty is not None or bool(record.bounty),
        allowance=None if usage is None else usage.scale_allowance,
        target=None if usage is None or live is None else usage.target_count,
        live=live if live is not None else counts.everywhere,
        utilization=max((usage.utilization_5m or 0.0), (usage.utilization_15m or 0.0)) if usage else 0.0,
        rate_limit=(usage.rate_limit_ratio_5m or 0.0) if usage else 0.0,
        max_instances=record.max_instances,
        my_active=counts.active,
        my_pending=counts.pending,
        global_active=counts.everywhere,
    )
