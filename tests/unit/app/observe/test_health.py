"""Judging health (spec: agent-monitor 11.1, 22 C30, C31)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.observe.health import judge
from app.observe.readings import ClusterHealth, ClusterState

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def verdict(state: ClusterState, silence_seconds: float | None) -> ClusterState | None:
    received = None if silence_seconds is None else NOW - timedelta(seconds=silence_seconds)
    found = judge(ClusterHealth("gpu-1", state, received), NOW.timestamp(), 30)
    return None if found is None else found.state


@pytest.mark.parametrize(
    ("state", "silence_seconds", "expected"),
    [
        (ClusterState.ACTIVE, 0, None),
        (ClusterState.ACTIVE, 60, None),
        (ClusterState.ACTIVE, 61, ClusterState.UNHEALTHY),
        (ClusterState.STARTING, 300, ClusterState.UNHEALTHY),
        (ClusterState.STARTING, None, ClusterState.UNHEALTHY),
        (ClusterState.UNHEALTHY, 300, None),
        (ClusterState.UNHEALTHY, None, None),
        (ClusterState.UNHEALTHY, 3601, ClusterState.ERROR),
        (ClusterState.ACTIVE, 3601, ClusterState.ERROR),
        (ClusterState.ERROR, 7200, None),
        (ClusterState.ACTIVE, -86_400, None),
    ],
)
def test_c30_c31_silence_makes_unhealthy_after_a_minute_and_error_after_an_hour(
    state: ClusterState, silence_seconds: float | None, expected: ClusterState | None
) -> None:
    assert verdict(state, silence_seconds) is expected
