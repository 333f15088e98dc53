"""The timeline and what of a validator's state counts."""

from __future__ import annotations

import pytest

from lab.embedded.day import Timeline, active_instances
from lab.embedded.model import SimulatedNode


def test_a_timeline_counts_from_its_first_line_and_finds_lines_again() -> None:
    ticks = iter([100.0, 102.5])
    said: list[str] = []
    timeline = Timeline(clock=lambda: next(ticks), say=said.append)
    timeline.note("start")
    timeline.note("instance is active")
    assert timeline.seconds_of("active") == 2.5
    timeline.report("from start to active", "start", "active")
    assert timeline.figures == ["from start to active: 2.5 s"]
    assert said[1:] == ["    2.5 s  instance is active", "from start to active: 2.5 s"]
    with pytest.raises(LookupError, match="no line"):
        timeline.seconds_of("inference")


def test_only_active_instances_count_oldest_first() -> None:
    items = {
        "a": {"active": True, "activated_at": "2"},
        "b": {"active": False, "activated_at": None},
        "c": {"active": True, "activated_at": "1"},
    }
    assert [item["activated_at"] for item in active_instances({"instances": items})] == ["1", "2"]


def test_everything_that_a_node_pretends_to_have_says_so() -> None:
    node = SimulatedNode("tee-0", "127.64.0.11", "h200", 3)
    devices = node.devices()
    assert len({device["uuid"] for device in devices}) == 3
    assert all("SIMULATED" in str(device["name"]) for device in devices)
    assert node.labels()["headframe/simulated"] == "true"
    assert "SIMULATED" in node.labels()["nvidia.com/gpu.product"]
