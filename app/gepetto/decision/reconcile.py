"""Differences between rows, clusters and validators as intents with evidence (spec: gepetto 16, 24.1; rules 27.12-14).

Absence of evidence never deletes: an absence must be seen in several complete, fresh readings that are younger than the
thing itself, and even then the executor asks the live source before it acts. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from app.gepetto.decision.configuration import Configuration, SafetyConfiguration
from app.gepetto.decision.intents import (
    DrainServer,
    Evidence,
    ForgetInstance,
    Intent,
    RecordInstance,
    RemoveOrphan,
    Terminate,
)
from app.gepetto.decision.memory import Memory, Sighting
from app.gepetto.world.columns import is_taken
from app.gepetto.world.snapshot import Snapshot, SourceName, cluster_source
from app.gepetto.world.views import DeploymentState, DeploymentView, InstanceView, OrderKind, PodView, Source

_ORDER_EVIDENCE = {
    OrderKind.INSTANCE_DELETED: Evidence.VALIDATOR_ENDED,
    OrderKind.JOB_ENDED: Evidence.JOB_ENDED,
    OrderKind.ROLLING_UPDATE: Evidence.ROLLING_UPDATE,
    OrderKind.PURGE: Evidence.OPERATOR,
}


@dataclass(frozen=True, slots=True)
class _Index:
    """The parts of a snapshot by what refers to them."""

    orders: dict[str, OrderKind]
    pods: dict[str, PodView]
    instances: dict[str, InstanceView]
    by_config: dict[str, InstanceView]
    server_names: dict[str, str]
    #: Servers whose node is being emptied, by a fresh reading.
    draining: frozenset[str]
    #: Private chutes of which other miners run all copies that the validator wants.
    taken: frozenset[str]

    @classmethod
    def of(cls, snapshot: Snapshot) -> _Index:
        return cls(
            orders={order.subject_id: order.kind for order in snapshot.orders},
            pods={pod.deployment_id: pod for pod in snapshot.pods},
            instances={instance.id: instance for instance in snapshot.instances},
            by_config={instance.config_id: instance for instance in snapshot.instances if instance.config_id},
            server_names={server.id: server.name for server in snapshot.servers},
            draining=frozenset(server.id for server in snapshot.servers if server.draining),
            taken=frozenset(chute.id for chute in snapshot.chutes if is_taken(chute)),
        )


@dataclass
class _Pass:
    """One pass over one snapshot; collects intents and the sightings to remember."""

    snapshot: Snapshot
    safety: SafetyConfiguration
    before: Memory
    index: _Index
    intents: list[Intent] = field(default_factory=list)
    sightings: dict[str, Sighting] = field(default_factory=dict)

    def is_seen_enough(self, key: str, *readings: Source) -> bool:
        """Count one more sighting if the readings are new; True once there are enough of them."""
        if any(not reading.is_fresh(self.snapshot.now, self.safety.fresh_seconds) for reading in readings):
            if key in self.before.sightings:
                self.sightings[key] = self.before.sightings[key]
            return False
        reading_at = min(reading.completed_at or 0.0 for reading in readings)
        known = self.before.sightings.get(key)
        if known is None:
            self.sightings[key] = Sighting(1, reading_at)
        elif reading_at > known.reading_at:
            self.sightings[key] = Sighting(known.count + 1, reading_at)
        else:
            self.sightings[key] = known
        return self.sightings[key].count >= self.safety.sightings


def reconcile(
    snapshot: Snapshot, configuration: Configuration, memory: Memory
) -> tuple[list[Intent], dict[str, Sighting]]:
    """Intents that repair differences, and the sightings for the next pass."""
    state = _Pass(snapshot, configuration.safety, memory, _Index.of(snapshot))
    for row in snapshot.deployments if state.index.orders or state.index.draining else _unsettled(state):
        if row.state is not DeploymentState.DRAINING:
            _judge(state, row)
    state.intents.extend(
        DrainServer(order.subject_id)
        for order in snapshot.orders
        if order.kind is OrderKind.SERVER_DELETED and order.subject_id in state.index.server_names
    )
    _orphan_pods(state)
    _orphan_instances(state)
    return state.intents, state.sightings


def _judge(state: _Pass, row: DeploymentView) -> None:
    """What the first rule that concerns a row says of it."""
    index = state.index
    instance = index.instances.get(row.instance_id or "") or index.by_config.get(row.config_id or "")
    if instance is not None:
        _record(state, row, instance)
    ending = (
        _ordered_end(row, index.orders)
        or _observed_end(state, row, index.pods.get(row.id), instance)
        or _drained_end(row, index.draining)
        or _lost_start(state, row, instance)
        or _absent_pod(state, row)
        or _absent_instance(state, row, instance)
    )
    if ending is not None:
        state.intents.append(ending)


def _unsettled(state: _Pass) -> list[DeploymentView]:
    """Rows apart from active copies on which all sides agree: nearly all there are, and no rule concerns them."""
    pods, instances, listed_at = state.index.pods, state.index.instances, _listed_at(state)
    active, grace_seconds = DeploymentState.ACTIVE, state.safety.grace_seconds
    found = []
    for row in state.snapshot.deployments:  # every decision walks through all rows here: as few look-ups as can be
        if row.state is active:
            pod = pods.get(row.id) if pods else None
            if pod is None:
                here = not listed_at or listed_at.get(row.server_id, 0.0) < row.since + grace_seconds
            else:
                here = not pod.finished
            unnamed = row.instance_id is None and row.config_id is None
            if here and (unnamed or _is_recorded(row, instances.get(row.instance_id or ""))):
                continue
        found.append(row)
    return found


def _listed_at(state: _Pass) -> dict[str, float]:
    """When the cluster of each server was last listed in full; servers whose cluster never was are left out."""
    sources = state.snapshot.sources
    found = {key: sources.get(cluster_source(name)) for key, name in state.index.server_names.items()}
    return {key: source.completed_at for key, source in found.items() if source and source.completed_at is not None}


def _is_recorded(row: DeploymentView, instance: InstanceView | None) -> bool:
    """Whether the row says all that the validator's instance of it says."""
    if instance is None:
        return row.instance_id is None and row.config_id is None
    return instance.active and (row.verified_at is not None or instance.verified_at is None)


def _record(state: _Pass, row: DeploymentView, instance: InstanceView) -> None:
    verified = instance.verified_at is not None
    news = row.instance_id != instance.id or row.active != instance.active or (verified and row.verified_at is None)
    if news:
        state.intents.append(RecordInstance(row.id, instance.id, instance.active, verified))


def _ordered_end(row: DeploymentView, orders: dict[str, OrderKind]) -> Terminate | None:
    for subject in (row.id, row.instance_id, row.config_id, row.job_id):
        kind = orders.get(subject or "")
        if kind is None or kind is OrderKind.SERVER_DELETED:
            continue
        if kind is OrderKind.ROLLING_UPDATE and row.job_id is not None:
            continue
        return Terminate(row.id, _ORDER_EVIDENCE[kind], kind.value)
    return None


def _observed_end(
    state: _Pass, row: DeploymentView, pod: PodView | None, instance: InstanceView | None
) -> Terminate | None:
    now, safety = state.snapshot.now, state.safety
    if pod is not None and pod.finished:
        return Terminate(row.id, Evidence.POD_FINISHED, "its pod has ended")
    if row.state is DeploymentState.RESERVED:
        return _abandoned_stub(row, now, safety)
    if _is_starting(row, instance) and now - row.created_at > safety.pending_seconds:
        return Terminate(row.id, Evidence.START_OVERDUE, "not active within the validator's own deadline")
    return None


def _is_starting(row: DeploymentView, instance: InstanceView | None) -> bool:
    """Whether a copy was launched and is not active yet, by its row and by the validator; jobs have their own rules."""
    started = row.state in {DeploymentState.LAUNCHED, DeploymentState.KNOWN, DeploymentState.VERIFIED}
    return started and row.job_id is None and row.activated_at is None and not (instance and instance.active)


def _drained_end(row: DeploymentView, draining: frozenset[str]) -> Terminate | None:
    """A drained node's copies go in order, the validator first; jobs may finish, and who drains ends them at last."""
    if row.server_id not in draining or row.job_id is not None:
        return None
    return Terminate(row.id, Evidence.NODE_DRAINED, "its node is drained")


def _lost_start(state: _Pass, row: DeploymentView, instance: InstanceView | None) -> Terminate | None:
    """A start for a private chute whose copies other miners run: the validator will not activate it (spec 14.5).

    No absence: the other miners' active copies are named in the validator's list. Ours are not among them.
    """
    if row.public or row.chute_id not in state.index.taken or not _is_starting(row, instance):
        return None
    names = (SourceName.ACTIVE_INSTANCES, SourceName.UTILIZATION, SourceName.INSTANCES)
    if not state.is_seen_enough(f"lost:{row.id}", *(state.snapshot.source(name) for name in names)):
        return None
    return Terminate(row.id, Evidence.BOUNTY_LOST, "another miner's copy took its place")


def _abandoned_stub(row: DeploymentView, now: float, safety: SafetyConfiguration) -> Terminate | None:
    if row.lease_until < now and now - row.created_at >= safety.stub_seconds and row.instance_id is None:
        return Terminate(row.id, Evidence.STUB_EXPIRED, "reserved, and nobody is launching it")
    return None


def _absent_pod(state: _Pass, row: DeploymentView) -> Terminate | None:
    names = state.index.server_names
    if row.id in state.index.pods or row.state is DeploymentState.RESERVED or row.server_id not in names:
        return None
    reading = state.snapshot.source(cluster_source(names[row.server_id]))
    if (reading.completed_at or 0.0) < max(row.created_at, row.since) + state.safety.grace_seconds:
        return None
    if not state.is_seen_enough(f"pod:{row.id}", reading):
        return None
    return Terminate(row.id, Evidence.ABSENT_POD, "its cluster shows no pod of it")


def _absent_instance(state: _Pass, row: DeploymentView, instance: InstanceView | None) -> Terminate | None:
    if row.instance_id is None or instance is not None:
        return None
    reading = state.snapshot.source(SourceName.INSTANCES)
    if (reading.completed_at or 0.0) < max(row.created_at, row.since) + state.safety.grace_seconds:
        return None
    if not state.is_seen_enough(f"instance:{row.id}", reading):
        return None
    return Terminate(row.id, Evidence.ABSENT_INSTANCE, "the validator lists no instance of it")


def _orphan_pods(state: _Pass) -> None:
    """Pods without a row. One with a living instance earns: it is adopted or looked at by a person, not removed."""
    snapshot, index = state.snapshot, state.index
    if not snapshot.pods:
        return
    database = snapshot.source(SourceName.DATABASE)
    rows = {row.id for row in snapshot.deployments}
    for pod in snapshot.pods:
        is_kept = pod.deployment_id in rows or (pod.config_id or "") in index.by_config
        if is_kept or pod.server_id not in index.server_names:
            continue
        reading = snapshot.source(cluster_source(index.server_names[pod.server_id]))
        if (reading.completed_at or 0.0) < pod.created_at + state.safety.grace_seconds:
            continue
        if state.is_seen_enough(f"orphan:{pod.deployment_id}", reading, database):
            state.intents.append(RemoveOrphan(pod.deployment_id, pod.server_id))


def _orphan_instances(state: _Pass) -> None:
    """Instances that the validator lists and nothing of ours is."""
    snapshot = state.snapshot
    if not snapshot.instances:
        return
    recorded = {row.instance_id for row in snapshot.deployments}
    configs = {row.config_id for row in snapshot.deployments} | {pod.config_id for pod in snapshot.pods}
    clusters = [snapshot.source(cluster_source(name)) for name in state.index.server_names.values()]
    reading, database = snapshot.source(SourceName.INSTANCES), snapshot.source(SourceName.DATABASE)
    for instance in snapshot.instances:
        if instance.id in recorded or instance.config_id in configs:
            continue
        if (reading.completed_at or 0.0) < instance.created_at + state.safety.grace_seconds:
            continue
        if state.is_seen_enough(f"forget:{instance.id}", reading, database, *clusters):
            state.intents.append(ForgetInstance(instance.id, instance.chute_id))
