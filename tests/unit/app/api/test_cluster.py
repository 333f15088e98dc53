"""What a node's figures give to each GPU."""

from __future__ import annotations

import pytest

from app.api.cluster import ClusterError, NodeFacts, derived_columns, facts_of

LABELS = {"nvidia.com/gpu.memory": str(80 * 1024)}


def node(capacity: dict[str, str], allocatable: dict[str, str] | None = None) -> NodeFacts:
    return NodeFacts("uid", "gpu-0", LABELS, capacity, is_ready=True, allocatable=allocatable or {})


def test_a_gpu_gets_its_share_of_what_the_system_leaves() -> None:
    whole = {"cpu": "66", "memory": "512Gi", "nvidia.com/gpu": "8"}
    assert derived_columns(node(whole)) == {"gpu_count": 8, "cpu_per_gpu": 4, "memory_per_gpu": 50}


def test_no_gpu_gets_more_memory_than_pods_may_have() -> None:
    machine = {"cpu": "66", "memory": "64Gi", "nvidia.com/gpu": "1"}
    pods = {"cpu": "66", "memory": "4096Mi"}
    assert derived_columns(node(machine, pods)) == {"gpu_count": 1, "cpu_per_gpu": 4, "memory_per_gpu": 3}


def test_a_node_without_gpus_is_told_what_to_look_at() -> None:
    with pytest.raises(ClusterError, match="is the GPU operator ready"):
        derived_columns(node({"cpu": "8", "memory": "64Gi"}))


def test_what_a_node_says_it_may_give_is_read() -> None:
    status = {"capacity": {"cpu": "8"}, "allocatable": {"cpu": "7500m"}}
    found = facts_of({"metadata": {"uid": "u", "name": "n"}, "status": status})
    assert (found.capacity, found.allocatable) == ({"cpu": "8"}, {"cpu": "7500m"})
