"""Prometheus metrics of Gepetto (spec: gepetto 24.5). One object per process, on a registry of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from app.gepetto.decision.gate import Refusal
from app.gepetto.decision.intents import (
    ForgetInstance,
    Intent,
    Launch,
    RecordInstance,
    RemoveOrphan,
    Swap,
    Terminate,
)
from app.gepetto.execution.faults import log_fault
from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import DeploymentState, DeploymentView

#: Seconds; a model of hundreds of gigabytes takes its time.
STAGE_BUCKETS: Final = (5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 12600)
#: How long a swap is followed: the default horizon of its prediction.
SWAP_SECONDS: Final = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class RunningSwap:
    """A swap that is followed until the horizon of its prediction."""

    server_id: str
    gpu_mask: int
    victims_multiplier: float
    until: float


class Metrics:
    """Everything that a dashboard of Gepetto shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        one = self.registry
        self.decision_seconds = Histogram("gepetto_decision_seconds", "Time of one decision", registry=one)
        self.intents = Counter("gepetto_intents", "Intents by kind and result", ["kind", "result"], registry=one)
        self.refusals = Counter("gepetto_gate_refusals", "Intents held back", ["kind", "alert"], registry=one)
        self.launch_refused = Counter("gepetto_launch_refused", "Launch configs refused", ["chute"], registry=one)
        self.stage_seconds = Histogram(
            "gepetto_stage_seconds", "Seconds from a launch to each stage", ["stage"], buckets=STAGE_BUCKETS,
            registry=one,
        )  # fmt: skip
        self.differences = Counter("gepetto_differences", "Differences to be repaired", ["evidence"], registry=one)
        self.copies = Gauge("gepetto_copies", "Copies by state (the launch funnel)", ["state"], registry=one)
        self.income = Gauge("gepetto_income_rate", "Sum of the multipliers of active copies", registry=one)
        self.per_gpu = Gauge("gepetto_income_per_gpu_hour", "Income rate over all GPUs", registry=one)
        self.idle = Counter("gepetto_idle_gpu_seconds", "Idle GPU-seconds by cause", ["cause"], registry=one)
        self.forfeited = Counter("gepetto_forfeited_copies", "Copies that ended within an unpaid hour", registry=one)
        self.swap_gain = Counter("gepetto_swap_gain_predicted", "Predicted gain of swaps", registry=one)
        self.swap_realised = Gauge(
            "gepetto_swap_gain_realised", "What swaps have brought so far, in multiplier-hours", registry=one
        )
        self.source_age = Gauge(
            "gepetto_source_age_seconds", "Age of the last complete reading", ["source"], registry=one
        )
        self.loop_lag = Histogram("gepetto_loop_lag_seconds", "Lag of the event loop", registry=one)
        self.leader = Gauge("gepetto_leader", "1 while this process acts", registry=one)
        self.file_faults = Counter("gepetto_file_faults", "Faults of the operator's file", ["kind"], registry=one)
        self.fallback = Gauge("gepetto_fallback", "1 while the default replaces the operator's file", registry=one)
        self.shadow_differences = Counter(
            "gepetto_shadow_differences", "Intents that only one of default and shadow wanted", registry=one
        )
        self.server_income = Gauge(
            "gepetto_server_income_rate", "Sum of the multipliers of a server's active copies", ["server"], registry=one
        )
        self.server_cost = Gauge(
            "gepetto_server_cost_usd_per_hour", "What a server costs, as declared", ["server"], registry=one
        )
        self.server_gpus = Gauge("gepetto_server_gpus", "GPUs of a server by use", ["server", "use"], registry=one)
        self.faults = Counter("gepetto_faults", "Errors that should not be", ["work", "error"], registry=one)
        self.overdue = Gauge("gepetto_overdue_entries", "Launches and endings open for over an hour", registry=one)
        self._seen_at: float | None = None
        self._activated: dict[str, float] = {}
        self._stages: dict[str, frozenset[str]] | None = None
        self._swaps: list[RunningSwap] = []
        self._victims: dict[str, float] = {}
        self._multipliers: dict[str, float] = {}

    def saw(self, snapshot: Snapshot) -> None:
        """Update everything that follows from a snapshot."""
        for state in DeploymentState:
            self.copies.labels(state.value).set(sum(1 for row in snapshot.deployments if row.state is state))
        income = sum(row.multiplier for row in snapshot.deployments if row.active)
        gpus = sum(server.gpu_total for server in snapshot.servers)
        self.income.set(income)
        self.per_gpu.set(income / gpus if gpus else 0.0)
        for name, source in snapshot.sources.items():
            age = float("inf") if source.completed_at is None else snapshot.now - source.completed_at
            self.source_age.labels(name).set(age)
        elapsed = 0.0 if self._seen_at is None else max(0.0, snapshot.now - self._seen_at)
        self._seen_at = snapshot.now
        for server in snapshot.servers:
            self.idle.labels(_cause(server.locked, server.healthy)).inc(server.free * elapsed)
        self._show_servers(snapshot)
        self._count_forfeited(snapshot)
        self._multipliers = {row.id: row.multiplier for row in snapshot.deployments}
        self._time_stages(snapshot)
        self._follow_swaps(snapshot, elapsed / 3600)

    def _show_servers(self, snapshot: Snapshot) -> None:
        """Income, cost and GPUs of every server that there is; one that has gone shows nothing any more."""
        for gauge in (self.server_income, self.server_cost, self.server_gpus):
            gauge.clear()
        income: dict[str, float] = {}
        for row in snapshot.deployments:
            if row.active:
                income[row.server_id] = income.get(row.server_id, 0.0) + row.multiplier
        for server in snapshot.servers:
            self.server_income.labels(server.name).set(income.get(server.id, 0.0))
            self.server_cost.labels(server.name).set(server.hourly_cost)
            self.server_gpus.labels(server.name, "free").set(server.free)
            self.server_gpus.labels(server.name, "taken").set(server.gpu_total - server.free)

    def _count_forfeited(self, snapshot: Snapshot) -> None:
        now = {row.id: row.activated_at for row in snapshot.deployments if row.activated_at is not None}
        for deployment_id, activated_at in self._activated.items():
            if deployment_id not in now and snapshot.now - activated_at < 3600:
                self.forfeited.inc()
        self._activated = {key: at for key, at in now.items() if at is not None}

    def _time_stages(self, snapshot: Snapshot) -> None:
        """How long new copies took to each stage; copies that were there at the first look are not counted."""
        stages = {row.id: _stages(row) for row in snapshot.deployments}
        for row in snapshot.deployments if self._stages is not None else ():
            for stage in stages[row.id] - (self._stages or {}).get(row.id, frozenset()):
                self.stage_seconds.labels(stage).observe(max(0.0, snapshot.now - row.created_at))
        self._stages = stages

    def _follow_swaps(self, snapshot: Snapshot, hours: float) -> None:
        """What the GPUs of every swap earn now, less what its victims earned, over the horizon of the prediction."""
        self._swaps = [swap for swap in self._swaps if snapshot.now < swap.until]
        for swap in self._swaps:
            earning = sum(
                row.multiplier
                for row in snapshot.deployments
                if row.active and row.server_id == swap.server_id and row.gpu_mask & swap.gpu_mask
            )
            self.swap_realised.inc((earning - swap.victims_multiplier) * hours)

    def decided(self, seconds: float, intents: tuple[Intent, ...], refused: tuple[Refusal, ...]) -> None:
        """One decision."""
        self.decision_seconds.observe(seconds)
        for refusal in refused:
            self.refusals.labels(type(refusal.intent).__name__, str(refusal.alert).lower()).inc()
        for intent in intents:
            if isinstance(intent, Terminate | RemoveOrphan | ForgetInstance):
                self.differences.labels(intent.evidence.value).inc()
            elif isinstance(intent, RecordInstance):
                self.differences.labels("unrecorded").inc()
            elif isinstance(intent, Swap):
                self._victims[intent.key] = sum(self._multipliers.get(victim, 0.0) for victim in intent.victims)

    def fault(self, work: str, error: BaseException) -> None:
        """An error that should not be: counted, and written down with its traceback."""
        self.faults.labels(work, type(error).__name__).inc()
        log_fault(work, error)

    def ended(self, intent: Intent, result: str) -> None:
        """One intent was carried out, or not."""
        self.intents.labels(type(intent).__name__, result).inc()
        launch = intent.launch if isinstance(intent, Swap) else intent
        if result == "refused" and isinstance(launch, Launch):
            self.launch_refused.labels(launch.chute_id).inc()
        if isinstance(intent, Swap):
            lost = self._victims.pop(intent.key, 0.0)
            if result == "launched":
                self.swap_gain.inc(max(0.0, intent.gain))
                until = (self._seen_at or 0.0) + SWAP_SECONDS
                self._swaps.append(RunningSwap(intent.launch.server_id, intent.launch.gpu_mask, lost, until))


def _cause(locked: bool, healthy: bool) -> str:
    if locked:
        return "locked"
    return "open" if healthy else "unhealthy"


def _stages(row: DeploymentView) -> frozenset[str]:
    """The stages of the launch funnel that a copy has reached."""
    reached = {
        "permitted": row.config_id is not None,
        "claimed": row.instance_id is not None,
        "verified": row.verified_at is not None,
        "active": row.activated_at is not None,
    }
    return frozenset(stage for stage, is_reached in reached.items() if is_reached)
