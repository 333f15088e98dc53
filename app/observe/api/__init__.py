"""HTTP of the monitor: agents' calls, the dashboard, liveness, readiness, metrics (spec: agent-monitor 7)."""
