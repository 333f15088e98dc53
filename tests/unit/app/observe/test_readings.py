"""What a reading says about absence, health and age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.observe.readings import ClusterHealth, ClusterReading, ClusterState, ObservedObject
from app.protocol.channels import ResourceType

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def reading(state: ClusterState, generation: int) -> ClusterReading:
    pod = ObservedObject("gpu-1", ResourceType.POD, "chutes", "a", "u", "1")
    node = ObservedObject("gpu-1", ResourceType.NODE, None, "gpu-1", "n", "2")
    completed_at = NOW - timedelta(seconds=90) if generation else None
    return ClusterReading("gpu-1", ClusterHealth("gpu-1", state), generation, completed_at, NOW, (pod, node))


@pytest.mark.parametrize("state", list(ClusterState))
def test_only_a_healthy_cluster_with_a_complete_list_supports_absence(state: ClusterState) -> None:
    healthy = state in {ClusterState.ACTIVE, ClusterState.STARTING}
    assert reading(state, 1).supports_absence is healthy
    assert reading(state, 0).supports_absence is False


def test_age_counts_from_the_last_complete_list_and_is_unknown_before_the_first() -> None:
    assert reading(ClusterState.ACTIVE, 3).age_seconds == 90
    assert reading(ClusterState.ACTIVE, 0).age_seconds is None


def test_a_reading_can_be_narrowed_to_one_kind() -> None:
    assert [item.name for item in reading(ClusterState.ACTIVE, 1).of(ResourceType.POD)] == ["a"]
