"""What a server's pods may ask for, from what its node reports (spec: protocol 4.1)."""

from __future__ import annotations

import pytest

from app.api.cluster import ClusterError, derived_columns, facts_of


def node(*, cpu: str = "64", memory: str, allocatable: str | None = None, gpus: str = "8") -> dict[str, object]:
    status: dict[str, object] = {"capacity": {"cpu": cpu, "memory": memory, "nvidia.com/gpu": gpus}}
    if allocatable is not None:
        status["allocatable"] = {"memory": allocatable}
    return {"metadata": {"uid": "u", "name": "n", "labels": {"nvidia.com/gpu.memory": "81920"}}, "status": status}


@pytest.mark.parametrize(
    ("reported", "cpus", "memory_gib"),
    [
        (node(memory="1056784768Ki"), 4, 80),  # the GPU's own memory is the limit
        (node(memory="268435456Ki", cpu="9"), 1, 25),
        (node(memory="268435456Ki", allocatable="267000000Ki"), 4, 25),  # a usual machine's reserve changes nothing
        (node(memory="24684092Ki", allocatable="4143676Ki", gpus="1", cpu="2"), 1, 2),  # no more than pods may have
        (node(memory="4Gi", gpus="1", cpu="2"), 1, 1),
    ],
)
def test_figures_for_each_gpu(reported: dict[str, object], cpus: int, memory_gib: int) -> None:
    found = derived_columns(facts_of(reported))
    assert (found["cpu_per_gpu"], found["memory_per_gpu"]) == (cpus, memory_gib)


@pytest.mark.parametrize("reported", [node(memory="8Gi", gpus="0"), node(memory="much")])
def test_a_node_without_gpus_or_with_strange_figures_is_refused(reported: dict[str, object]) -> None:
    with pytest.raises(ClusterError):
        derived_columns(facts_of(reported))
