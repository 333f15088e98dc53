"""Free disk of a node (spec: gepetto 19.6)."""

from __future__ import annotations

import pytest

from app.gepetto.kubernetes.disk import free_disk_gb, quantity_gb


@pytest.mark.parametrize(
    ("text", "gigabytes"),
    [
        ("1Gi", 1.0), ("512Mi", 0.5), ("1048576Ki", 1.0), (str(2**30), 1.0), (2**31, 2.0), ("1Ti", 1024.0),
        ("1073741824000m", 1.0), ("many", None), ("1Xi", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_quantities_are_read_in_gib(text: object, gigabytes: float | None) -> None:
    assert quantity_gb(text) == gigabytes


def node(capacity: object) -> dict[str, object]:
    return {"status": {"capacity": {"ephemeral-storage": capacity}}}


def pod(phase: str, *requests: str) -> dict[str, object]:
    containers = [{"resources": {"requests": {"ephemeral-storage": request}}} for request in requests]
    return {"status": {"phase": phase}, "spec": {"containers": containers, "initContainers": [{"name": "no request"}]}}


def test_running_and_pending_pods_and_a_reserve_are_taken_off() -> None:
    pods = [pod("Running", "10Gi", "5Gi"), pod("Pending", "10Gi"), pod("Succeeded", "100Gi")]
    assert free_disk_gb(node("500Gi"), pods) == 455
    assert free_disk_gb(node("30Gi"), pods) == 0


def test_a_node_that_does_not_say_its_disk_is_unknown_not_empty() -> None:
    assert free_disk_gb({"status": {}}, []) is None
    assert free_disk_gb(node("plenty"), []) is None
