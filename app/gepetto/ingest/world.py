"""The world as gathered so far, and snapshots of it (spec: gepetto 24.1, 24.9). No I/O.

Views are made anew only for what changed, so that a decision can reuse its columns for the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from app.gepetto.decision.intents import Intent, Launch, Swap
from app.gepetto.ingest.chute_views import Bounty, Counts, chute_view
from app.gepetto.ingest.clusters import ClusterState
from app.gepetto.ingest.row_views import ServerFacts, deployment_view, instance_view, masks_of, server_view
from app.gepetto.ingest.rows import Rows
from app.gepetto.world.snapshot import Snapshot, SourceName, cluster_source
from app.gepetto.world.views import (
    NOTHING,
    ChuteView,
    DeploymentView,
    Failure,
    JobView,
    NodeState,
    Order,
    OrderKind,
    ServerView,
    Source,
)
from app.protocol.chutes import ChuteRecord, Utilization
from app.protocol.instances import ActiveInstance, InstanceRecord
from app.protocol.servers import RemoteServer

JOB_LIFE_SECONDS = 600.0
ORDER_LIFE_SECONDS = 24 * 3600.0
#: Validator, record, usage, bounty, counts, ban, end of a refusal: all that a chute's view is made of.
_ChuteInputs = tuple[str, ChuteRecord, Utilization | None, Bounty | None, Counts, bool, float]


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
    _chute_views: dict[str, tuple[_ChuteInputs, ChuteView]] = field(default_factory=dict)
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

    def close(self, server_id: str) -> None:
        """A live look found a node closed for pods; the next reading of its cluster says whether it still is."""
        for row in self.rows.servers:
            known = self.clusters.get(row.name) if row.server_id == server_id else None
            if known is not None:
                self.clusters[row.name] = replace(known, node=NodeState.CLOSED)

    def order(self, kind: OrderKind, subject: str, at: float, source: str = "") -> None:
        """Keep an explicit word until it is done."""
        self.orders[f"{kind}:{subject}"] = Order(kind, subject, at, source)

    def snapshot(self, now: float, in_flight: Iterable[Intent] = ()) -> Snapshot:
        """The world now, with launches that are under way counted as if they had begun."""
        flying = [intent.launch if isinstance(intent, Swap) else intent for intent in in_flight]
        launching = [intent for intent in flying if isinstance(intent, Launch)]
        self._forget_old(now)
        taken = {row.job_id for row in self.rows.deployments} | {launch.job_id for launch in launching}
        deployments = self._deployments()
        return Snapshot(
            now=now,
            servers=self._servers(now, launching),
            chutes=self._chutes(now, launching),
            deployments=deployments,
            jobs=tuple(job for job in self.jobs.values() if job.id not in taken),
            failures=tuple(Failure(s, c, n, until) for c, s, n, until in self.rows.failures if s != "*"),
            pods=tuple(pod for state in self.clusters.values() for pod in state.pods),
            instances=tuple(instance_view(validator, item) for validator, item in self.instances.values()),
            orders=tuple(self.orders.values()) + self._requests(),
            sources=dict(self.sources),
            seed=self.seed,
            hotkey=self.hotkey,
        )

    def _forget_old(self, now: float) -> None:
        self.jobs = {key: job for key, job in self.jobs.items() if now - job.announced_at < JOB_LIFE_SECONDS}
        self.orders = {key: order for key, order in self.orders.items() if now - order.said_at < ORDER_LIFE_SECONDS}

    def _requests(self) -> tuple[Order, ...]:
        kinds = {"undeploy": OrderKind.PURGE, "delete_server": OrderKind.SERVER_DELETED}
        found = self.rows.requests
        return tuple(Order(kinds[r.kind], r.subject, r.created_at, f"request {r.id}") for r in found if r.kind in kinds)

    def _multipliers(self) -> dict[str, float]:
        return {item.instance_id: item.compute_multiplier or 0.0 for item in self.active}

    def _deployments(self) -> tuple[DeploymentView, ...]:
        multipliers, masks = self._multipliers(), masks_of(self.rows.servers)
        found = []
        for row in self.rows.deployments:
            record = self.chutes.get(row.chute_id)
            mask, multiplier = masks.get(row.deployment_id, 0), multipliers.get(row.instance_id or "", 0.0)
            public = record is None or record[1].public is not False
            found.append(deployment_view(row, mask, multiplier, public=public))
        return tuple(found)

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
            source = self.sources.get(cluster_source(row.name), Source())
            facts = ServerFacts(
                self.remote_servers.get(row.server_id),
                self.clusters.get(row.name),
                source.is_fresh(now, self.fresh_seconds),
                starts[row.server_id],
                flying.get(row.server_id, 0),
                failures[row.server_id],
                cached.get(row.server_id, NOTHING),
            )
            view = server_view(row, facts, now)
            known = self._server_views.get(row.server_id)
            fresh[row.server_id] = known if known == view else view
        self._server_views = fresh
        return tuple(fresh.values())

    def _active_everywhere(self, now: float) -> tuple[Counter[str], Counter[str]]:
        """Active copies of each chute, every miner's and the other miners'. A list that grew old would hold places for
        copies that may be long gone; demand has a count of its own."""
        if not self.sources.get(SourceName.ACTIVE_INSTANCES, Source()).is_fresh(now, self.fresh_seconds):
            return Counter(), Counter()
        active = [item for item in self.active if item.activated_at is not None]
        others = Counter(item.chute_id for item in active if item.miner_hotkey != self.hotkey)
        return Counter(item.chute_id for item in active), others

    def _chutes(self, now: float, launching: list[Launch]) -> tuple[ChuteView, ...]:
        rows = self.rows.deployments
        mine = Counter(row.chute_id for row in rows if row.active and row.job_id is None)
        # The validator's counts hold a copy from its claim on, that is once it has an instance.
        pending = Counter(
            row.chute_id for row in rows if not row.active and row.job_id is None and row.instance_id is None
        )
        flying = Counter(launch.chute_id for launch in launching if launch.job_id is None)
        everywhere, others = self._active_everywhere(now)
        banned = {row.chute_id for row in self.rows.chutes if row.banned}
        refused = {chute: until for chute, server, _, until in self.rows.failures if server == "*"}
        fresh: dict[str, tuple[_ChuteInputs, ChuteView]] = {}
        for chute_id, (validator, record) in self.chutes.items():
            counts = Counts(
                mine[chute_id], pending[chute_id] + flying[chute_id], everywhere[chute_id], others[chute_id]
            )
            inputs: _ChuteInputs = (
                validator,
                record,
                self.utilization.get(chute_id),
                self.bounties.get(chute_id),
                counts,
                chute_id in banned,
                refused.get(chute_id, 0.0),
            )
            fresh[chute_id] = _kept_or_new(self._chute_views.get(chute_id), inputs)
        self._chute_views = fresh
        return tuple(view for _, view in fresh.values())


def _kept_or_new(known: tuple[_ChuteInputs, ChuteView] | None, inputs: _ChuteInputs) -> tuple[_ChuteInputs, ChuteView]:
    """The view of before where nothing in it moved: then a decision need not read it again."""
    if known is not None and all(one is other or one == other for one, other in zip(known[0], inputs, strict=True)):
        return known
    validator, record, usage, bounty, counts, banned, refuse_until = inputs
    view = replace(chute_view(validator, record, usage, bounty, counts), banned=banned, refuse_until=refuse_until)
    return inputs, known[1] if known is not None and known[1] == view else view
