"""Prometheus metrics of Gepetto (spec: gepetto 24.5). One object per process, on a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from app.gepetto.decision.gate import Refusal
from app.gepetto.decision.intents import Intent, Swap
from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import DeploymentState


class Metrics:
    """Everything that a dashboard of Gepetto shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        one = self.registry
        self.decision_seconds = Histogram("gepetto_decision_seconds", "Time of one decision", registry=one)
        self.intents = Counter("gepetto_intents", "Intents by kind and result", ["kind", "result"], registry=one)
        self.refusals = Counter("gepetto_gate_refusals", "Intents held back", ["kind", "alert"], registry=one)
        self.launch_refused = Counter("gepetto_launch_refused", "Launch configs refused", ["status"], registry=one)
        self.copies = Gauge("gepetto_copies", "Copies by state (the launch funnel)", ["state"], registry=one)
        self.income = Gauge("gepetto_income_rate", "Sum of the multipliers of active copies", registry=one)
        self.per_gpu = Gauge("gepetto_income_per_gpu_hour", "Income rate over all GPUs", registry=one)
        self.idle = Counter("gepetto_idle_gpu_seconds", "Idle GPU-seconds by cause", ["cause"], registry=one)
        self.forfeited = Counter("gepetto_forfeited_copies", "Copies that ended within an unpaid hour", registry=one)
        self.swap_gain = Counter("gepetto_swap_gain_predicted", "Predicted gain of swaps", registry=one)
        self.source_age = Gauge(
            "gepetto_source_age_seconds", "Age of the last complete reading", ["source"], registry=one
        )
        self.loop_lag = Histogram("gepetto_loop_lag_seconds", "Lag of the event loop", registry=one)
        self.leader = Gauge("gepetto_leader", "1 while this process acts", registry=one)
        self.file_faults = Counter("gepetto_file_faults", "Faults of the operator's file", ["kind"], registry=one)
        self.fallback = Gauge("gepetto_fallback", "1 while the default replaces the operator's file", registry=one)
        self._seen_at: float | None = None
        self._activated: dict[str, float] = {}

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
        self._count_forfeited(snapshot)

    def _count_forfeited(self, snapshot: Snapshot) -> None:
        now = {row.id: row.activated_at for row in snapshot.deployments if row.activated_at is not None}
        for deployment_id, activated_at in self._activated.items():
            if deployment_id not in now and snapshot.now - activated_at < 3600:
                self.forfeited.inc()
        self._activated = {key: at for key, at in now.items() if at is not None}

    def decided(self, seconds: float, intents: tuple[Intent, ...], refused: tuple[Refusal, ...]) -> None:
        """One decision."""
        self.decision_seconds.observe(seconds)
        for refusal in refused:
            self.refusals.labels(type(refusal.intent).__name__, str(refusal.alert).lower()).inc()
        for intent in intents:
            if isinstance(intent, Swap):
                self.swap_gain.inc(max(0.0, intent.gain))

    def ended(self, intent: Intent, result: str) -> None:
        """One intent was carried out, or not."""
        self.intents.labels(type(intent).__name__, result).inc()


def _cause(locked: bool, healthy: bool) -> str:
    if locked:
        return "locked"
    return "open" if healthy else "unhealthy"
