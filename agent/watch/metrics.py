"""Prometheus metrics of the agent, in a registry of their own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class AgentMetrics:
    """One attribute per metric."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        prefix = "headframe_agent"
        self.events = Counter(f"{prefix}_events_total", "Events by fate.", ["fate"], registry=self.registry)
        self.queue_depth = Gauge(f"{prefix}_queue_depth", "Events that wait to be sent.", registry=self.registry)
        self.relists = Counter(f"{prefix}_relists_total", "Lists read again after a gap.", registry=self.registry)
        self.snapshots = Counter(f"{prefix}_snapshots_total", "Complete lists sent.", registry=self.registry)
        self.partial_lists = Counter(
            f"{prefix}_partial_lists_total",
            "Lists of some kinds sent because digests differed.",
            registry=self.registry,
        )
        self.renewals = Counter(
            f"{prefix}_kubeconfig_renewals_total",
            "Hourly looks at the certificate that is handed out, by result.",
            ["result"],
            registry=self.registry,
        )
        self.state = Gauge(f"{prefix}_state", "1 for the state the agent is in.", ["state"], registry=self.registry)
        self.kubeconfig_expiry = Gauge(
            f"{prefix}_kubeconfig_expiry_seconds",
            "When the client certificate that is handed out ends, in Unix seconds.",
            registry=self.registry,
        )
