"""The objects of a bootstrap: what the public miner's readers look for, and what the pod may not do."""

import dataclasses
from typing import Any

import pytest

from graval.manifests import BootstrapPlan, bootstrap_objects

PLAN = BootstrapPlan(
    node="gpu.7",
    image="registry.example/graval@sha256:" + "0" * 64,
    miner="5miner",
    whitelist=("5validator", "5miner"),
    gpu_count=8,
    cpu_per_gpu=4,
    memory_per_gpu_gib=32,
    environment={"GRAVAL_BACKEND": "cuda", "MINER_HOTKEY_SS58": "5somebody"},
)


def objects(plan: BootstrapPlan = PLAN) -> tuple[Any, Any, Any]:
    return bootstrap_objects(plan)


def test_names_carry_no_dots_and_every_object_finds_the_pod_by_its_labels() -> None:
    service, policy, job = objects()
    assert [one["metadata"]["name"] for one in (service, policy, job)] == [
        "graval-svc-gpu-7", "graval-gpu-7", "graval-gpu-7"
    ]  # fmt: skip
    pod_labels = job["spec"]["template"]["metadata"]["labels"].items()
    assert service["spec"]["selector"].items() <= pod_labels
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= pod_labels
    assert job["spec"]["template"]["metadata"]["labels"]["chutes/chute"] == "false"


def test_the_job_takes_all_gpus_of_its_node_once_and_not_for_ever() -> None:
    spec = objects()[2]["spec"]
    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    assert (spec["parallelism"], spec["completions"], spec["backoffLimit"], spec["ttlSecondsAfterFinished"]) == (
        1,
        1,
        3,
        300,
    )
    assert spec["activeDeadlineSeconds"] > 900
    assert (pod["nodeName"], pod["runtimeClassName"], pod["restartPolicy"]) == ("gpu.7", "nvidia", "OnFailure")
    assert container["resources"]["limits"] == {"cpu": "32", "memory": "256Gi", "nvidia.com/gpu": "8"}
    assert container["resources"]["requests"] == container["resources"]["limits"]


def test_the_pod_writes_nowhere_has_no_token_and_calls_nobody() -> None:
    _, policy, job = objects()
    pod = job["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert policy["spec"]["egress"] == []


def test_identities_come_from_the_plan_whatever_the_environment_says() -> None:
    environment = {
        one["name"]: one["value"] for one in objects()[2]["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert environment["MINER_HOTKEY_SS58"] == "5miner"
    assert environment["VALIDATOR_WHITELIST"] == "5validator,5miner"
    assert environment["GRAVAL_BACKEND"] == "cuda"


@pytest.mark.parametrize(("field", "value"), [("whitelist", ()), ("miner", ""), ("gpu_count", 0), ("gpu_count", 11)])
def test_a_plan_that_no_service_or_validator_would_take_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"whitelist|GPUs"):
        dataclasses.replace(PLAN, **{field: value})  # type: ignore[arg-type]
