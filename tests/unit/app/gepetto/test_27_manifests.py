"""Rules 1 and 2 of the behaviour checklist: Kubernetes objects as snapshots (spec: gepetto 17, 18, 27)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from syrupy.assertion import SnapshotAssertion

from app.gepetto.kubernetes import manifests
from app.gepetto.kubernetes.container import environment, image_reference
from app.gepetto.kubernetes.plan import DeploymentPlan, JobPort, PodSettings
from app.gepetto.kubernetes.warm_up import warm_up_job
from app.protocol.model_cache import CacheOverride

SETTINGS = PodSettings(miner_ss58="5Miner")
PLAN = DeploymentPlan(
    deployment_id="00000000-0000-4000-8000-000000000001",
    chute_id="chute-1",
    version="version-1",
    image="someone/thing:1",
    ref_str="chute:chute",
    chutes_version="0.6.1",
    tee=True,
    validator="5Validator",
    server_name="node-1",
    server_address="203.0.113.9",
    gpu_ids=("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"),
    cpu_per_gpu=4,
    memory_per_gpu=80,
    vm_version=(1, 4, 0),
    token="made-up-token",
    config_id="config-1",
)
PORTS = (
    JobPort.declared("tcp", 9000),
    JobPort.declared("udp", 9000),
    JobPort.declared("http", 9001),
    JobPort.declared("tcp", 9000),
)

CASES = {
    "plain TEE": PLAN,
    "TEE, runtime before 0.6.0": replace(PLAN, chutes_version="0.5.9"),
    "no TEE, code in a volume": replace(PLAN, tee=False, chutes_version="0.3.60", filename="chute.py", code="print()"),
    "no TEE, newer": replace(PLAN, tee=False, chutes_version="0.3.61"),
    "job with attestation port": replace(PLAN, job_id="job-1", job_ports=PORTS, disk_gb=50),
    "job without attestation port": replace(PLAN, chutes_version="0.5.9", job_id="job-1", job_ports=PORTS),
    "beside others": replace(PLAN, neighbours=("chute-3", "chute-2")),
    "no token": replace(PLAN, token=None, config_id=None, seed=42, chutes_version="0.2.9", tee=False, filename="c.py"),
}


def node_ports(plan: DeploymentPlan) -> dict[tuple[str, int], int]:
    spec = manifests.service(plan, SETTINGS)["spec"]
    assert isinstance(spec, dict)
    return {(port["protocol"], port["port"]): 30100 + index for index, port in enumerate(spec["ports"])}


@pytest.mark.parametrize("name", CASES)
def test_27_01_objects_are_exactly_as_specified(name: str, snapshot: SnapshotAssertion) -> None:
    plan = CASES[name]
    assert manifests.service(plan, SETTINGS) == snapshot
    assert manifests.job(plan, SETTINGS, node_ports(plan)) == snapshot
    if plan.needs_code:
        assert manifests.code_config_map(plan, SETTINGS) == snapshot


@pytest.mark.parametrize(
    ("machine", "minimum", "direct", "xet"),
    [
        (None, "1.4.0", False, False),
        ((1, 3, 0), "1.4.0", False, False),
        ((1, 3, 1), "1.4.0", False, True),
        ((1, 4, 0), "1.4.0", True, True),
        ((1, 4, 0), "", False, True),
    ],
)
def test_27_01_the_virtual_machine_decides_registry_and_downloads(
    machine: tuple[int, int, int] | None, minimum: str, direct: bool, xet: bool
) -> None:
    plan = replace(PLAN, vm_version=machine)
    image = image_reference(plan, replace(SETTINGS, mtls_registry_min_version=minimum))
    proxy = "5validator.localregistry.chutes.ai:30500/someone/thing:1"
    assert image == ("registry.chutes.ai/someone/thing:1" if direct else proxy)
    found = environment(plan, node_ports(plan))
    assert ("TOKIO_WORKER_THREADS" in found) is xet
    assert ("HF_HUB_DISABLE_XET" in found) is not xet


@pytest.mark.parametrize(("runtime", "port"), [("0.3.2", 8000), ("0.3.3", 8001), ("0.3.3.rc1", 8001)])
def test_27_01_the_probe_asks_the_port_that_the_runtime_serves(runtime: str, port: int) -> None:
    plan = replace(PLAN, chutes_version=runtime, tee=False)
    assert f"127.0.0.1:{port}/_alive" in str(manifests.job(plan, SETTINGS, node_ports(plan)))


@pytest.mark.parametrize(
    ("override", "age", "size"), [(77, "30", "77"), (CacheOverride(max_age_days=3, max_size_gb=None), "3", "500")]
)
def test_27_01_a_node_may_have_cache_limits_of_its_own(override: CacheOverride | int, age: str, size: str) -> None:
    settings = replace(SETTINGS, cache_overrides={"node-1": override, "another": 1})
    job = str(manifests.job(PLAN, settings, node_ports(PLAN)))
    assert f"'CACHE_MAX_AGE_DAYS', 'value': '{age}'" in job
    assert f"'CACHE_MAX_SIZE_GB', 'value': '{size}'" in job


def cleaner_environment(plan: DeploymentPlan) -> dict[str, str]:
    spec = manifests.job(plan, SETTINGS, node_ports(plan))["spec"]
    assert isinstance(spec, dict)
    (cleaner,) = spec["template"]["spec"]["initContainers"]
    return {entry["name"]: entry["value"] for entry in cleaner["env"]}


def test_the_cleaner_is_told_of_the_nodes_other_chutes_and_of_nothing_where_there_are_none() -> None:
    beside = replace(PLAN, neighbours=("chute-3", "chute-2"))
    assert cleaner_environment(beside)["CLEANUP_PROTECT"] == "chute-2,chute-3"
    assert (
        cleaner_environment(replace(PLAN, neighbours=tuple(f"{n:036}" for n in range(4000))))["CLEANUP_PROTECT"] == "*"
    )
    assert cleaner_environment(beside) == {**cleaner_environment(PLAN), "CLEANUP_PROTECT": "chute-2,chute-3"}
    environments = [environment(plan, node_ports(plan)) for plan in (beside, PLAN)]
    assert environments[0] == environments[1], "the validator compares the chute's own"


def test_27_01_job_ports_reach_environment_and_container_with_and_without_attestation() -> None:
    for runtime in ("0.6.0", "0.5.9"):
        plan = replace(PLAN, chutes_version=runtime, job_id="j", job_ports=PORTS)
        found = environment(plan, node_ports(plan))
        assert {"CHUTES_PORT_TCP_9000", "CHUTES_PORT_UDP_9000", "CHUTES_PORT_TCP_9001"} <= found.keys()
        names = [port["name"] for port in manifests.service(plan, SETTINGS)["spec"]["ports"]]  # type: ignore[index]
        assert len(names) == len(set(names))


def test_27_02_gpu_variables_name_exactly_the_assigned_gpus() -> None:
    found = environment(PLAN, node_ports(PLAN))
    expected = "GPU-01234567-89ab-cdef-0123-456789abcdef,GPU-fedcba98-7654-3210-fedc-ba9876543210"
    assert found["NVIDIA_VISIBLE_DEVICES"] == found["CHUTES_NVIDIA_DEVICES"] == expected


def test_a_token_shows_in_no_repr() -> None:
    assert "made-up-token" not in repr(PLAN)


def test_a_warm_up_takes_no_gpu_and_ends_by_itself() -> None:
    text = str(warm_up_job(PLAN, SETTINGS))
    assert "NVIDIA" not in text
    assert "activeDeadlineSeconds" in text
