"""Prometheus metrics of the monitor, in a registry of their own: nothing global, so that tests can run several."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class MonitorMetrics:
    """One attribute per metric."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        prefix = "headframe_monitor"
        self.requests = Counter(
            f"{prefix}_requests_total", "Agent requests by call and status.", ["call", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            f"{prefix}_request_seconds", "Time to answer agent requests.", ["call"], registry=self.registry
        )
        self.refusals = Counter(
            f"{prefix}_refusals_total", "Requests refused by reason.", ["reason"], registry=self.registry
        )
        self.queue_depth = Gauge(f"{prefix}_queue_depth", "Events that wait for Redis.", registry=self.registry)
        self.ignored = Counter(
            f"{prefix}_events_ignored_total", "Events that were older than what is known.", registry=self.registry
        )
        self.skipped = Counter(
            f"{prefix}_objects_skipped_total", "Unreadable objects in snapshots.", ["cluster"], registry=self.registry
        )
        self.held = Gauge(
            f"{prefix}_held_deletions", "Deletions held back until confirmed.", ["cluster"], registry=self.registry
        )
        self.resyncs = Counter(
            f"{prefix}_resyncs_total", "Complete lists asked for, by cause.", ["cause"], registry=self.registry
        )
        self.divergences = Counter(
            f"{prefix}_divergences_total",
            "Objects that differed from a live list.",
            ["cluster"],
            registry=self.registry,
        )
        self.cluster_state = Gauge(
            f"{prefix}_cluster_healthy", "1 for a healthy cluster, 0 for another.", ["cluster"], registry=self.registry
        )
        self.informer_synced = Gauge(
            f"{prefix}_informer_synced",
            "1 while a direct informer follows a cluster.",
            ["cluster"],
            registry=self.registry,
        )
        self.start_attempts = Counter(
            f"{prefix}_agent_starts_total", "Attempts to start an agent, by result.", ["result"], registry=self.registry
        )
