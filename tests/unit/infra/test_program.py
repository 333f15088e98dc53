"""The whole program without an engine: what it registers for the shipped stacks, and what holds for every stack."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pulumi
import pytest
from syrupy.assertion import SnapshotAssertion

from infra.images.names import NodeRole, images_for
from infra.transforms import labelled
from policies.rules.kubernetes import KubernetesObject, check_object
from policies.rules.model import Level
from tests.support.program import Recorded, Recording
from tests.support.program_run import run_program
from tests.support.settings import HOST_KEY, PRIVATE_KEY, fleet, gpu_node, lab_fleet

TEE = {"name": "tee-0", "kind": "tee", "address": "9.0.0.9", "gpu": "h200", "gpu_count": 8, "hourly_cost_usd": 24}


def steady(value: Any, folder: Path) -> str:
    """Without what depends on files under work or on this machine."""
    shown = json.dumps(value, indent=1, sort_keys=True)
    text = re.sub(r"in-[0-9a-f]{32}", "in-HASH", shown.replace(str(folder), "FOLDER"))
    return re.sub(r"((?:\+|-)0?)[0-9a-f]{12}\b", r"\g<1>HASH", text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("program")


@pytest.fixture(scope="module")
def recording(folder: Path) -> Recording:
    """Two bare nodes, a confidential one, a registry login."""
    kubernetes = fleet()["kubernetes"] | {"registry_login": {"registry": "docker.io", "username": "me"}}
    nodes = [gpu_node("gpu-0", "9.0.0.11"), gpu_node("gpu-1", "9.0.0.12"), TEE]
    return run_program(fleet(kubernetes=kubernetes, gpu_nodes=nodes), folder)


def kubernetes_objects(recording: Recording) -> list[Recorded]:
    return [item for item in recording.resources if item.type.startswith("kubernetes:")]


def test_the_stack_is_this_list_of_resources(recording: Recording, snapshot: SnapshotAssertion) -> None:
    lines = [f"{item.type} {item.name} in {item.parent.rsplit('::', 1)[-1]}" for item in recording.resources]
    assert lines == snapshot


def test_every_input_of_the_control_plane_is_reviewed(
    recording: Recording, folder: Path, snapshot: SnapshotAssertion
) -> None:
    shown = {
        f"{item.type} {item.name}": item.public_inputs
        for item in recording.resources
        if item.custom and "gpu-" not in item.name
    }
    assert steady(shown, folder) == snapshot


def test_every_input_of_a_gpu_node_is_reviewed(recording: Recording, folder: Path, snapshot: SnapshotAssertion) -> None:
    shown = {
        f"{item.type} {item.name}": item.public_inputs
        for item in recording.resources
        if item.custom and "gpu-0" in item.name
    }
    assert steady(shown, folder) == snapshot


def test_no_secret_is_registered_in_plain(recording: Recording) -> None:
    for item in recording.resources:
        assert "marker" not in str(item.public_inputs), f"{item.type} {item.name} holds a secret in plain"


def test_the_ssh_key_reaches_machines_and_nothing_else(recording: Recording) -> None:
    holders = {item.type for item in recording.resources if PRIVATE_KEY in str(item.plain_inputs)}
    assert holders == {"headframe:index:Host", "headframe:index:ControlTools"}


def test_no_command_is_given_a_secret(recording: Recording) -> None:
    for item in recording.of_type("command:local:Command"):
        assert item.inputs == item.public_inputs


def test_every_kubernetes_object_names_its_cluster_and_leaves_with_its_host(recording: Recording) -> None:
    for item in kubernetes_objects(recording):
        host = item.deleted_with.rsplit("::", 1)[-1]
        assert item.provider.split("::")[-2] == f"{host}-cluster", item.name


def test_a_cluster_is_known_by_its_node_name_alone(recording: Recording) -> None:
    for item in recording.of_type("pulumi:providers:kubernetes"):
        inputs = item.plain_inputs
        assert inputs["clusterIdentifier"] == item.name.removesuffix("-cluster")
        assert inputs["kubeconfig"] == "marker-kubeconfig"
        assert item.public_inputs["kubeconfig"] == "[secret]"


def test_every_resource_but_the_components_on_top_has_a_parent_component(recording: Recording) -> None:
    for item in recording.resources:
        if item.custom:
            assert "headframe:infra:" in item.parent, item.name


def test_the_rules_find_nothing_in_our_own_objects(recording: Recording) -> None:
    found = [
        str(finding)
        for item in kubernetes_objects(recording)
        for finding in check_object(
            KubernetesObject(
                type=item.type,
                name=item.name,
                properties=item.public_inputs,
                provider=item.provider,
                protected=item.request.protect,
            )
        )
        if finding.level is Level.MANDATORY
    ]
    assert found == []


def test_labels_are_added_and_own_labels_stay(recording: Recording) -> None:
    service = recording.one("kubernetes:core/v1:Service", "postgres")
    labels = labelled(service.type, service.inputs)["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/managed-by": "headframe", "app.kubernetes.io/name": "chutes-postgres"}
    release = recording.of_type("kubernetes:helm.sh/v3:Release")[0]
    assert labelled(release.type, release.inputs) == release.inputs


def test_a_confidential_node_declares_facts_and_a_registration_and_no_machine(recording: Recording) -> None:
    (node,) = [item for item in recording.of_type("headframe:infra:GpuNode") if item.name == "tee-0"]
    assert node.inputs["kind"] == "tee"
    assert [item.name for item in recording.resources if "tee-0" in item.parent] == ["tee-0-registration"]


def test_images_reach_the_host_before_the_pods_that_never_pull(recording: Recording) -> None:
    host = recording.one("headframe:index:Host", "control")
    images = {image["reference"]: image["path"] for image in host.inputs["images"]}
    pod = recording.one("kubernetes:apps/v1:StatefulSet", "postgres").inputs["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["imagePullPolicy"] == "Never"
    assert images[container["image"]].endswith(".json")
    delivered = {f"image-{name}" for name in images_for(NodeRole.CONTROL, lab=False, monitoring=True)}
    assert {name.rsplit("::", 1)[-1] for name in host.request.dependencies} == delivered


def test_tags_and_archives_are_known_in_a_preview(folder: Path) -> None:
    host = run_program(fleet(), folder, preview=True).one("headframe:index:Host", "control")
    assert all(image["reference"] and image["path"] for image in host.inputs["images"])


def test_the_order_of_nodes_changes_nothing(folder: Path) -> None:
    nodes = [gpu_node(f"gpu-{index}", f"9.0.1.{index}") for index in range(3)]
    wanted: list[Any] | None = None
    for order in itertools.islice(itertools.permutations(nodes), 0, 6, 3):
        seen = [
            (i.request.type, i.name, i.parent, i.inputs)
            for i in run_program(fleet(gpu_nodes=list(order)), folder).resources
        ]
        wanted = wanted or seen
        assert seen == wanted


def test_a_further_node_only_adds(folder: Path) -> None:
    few = run_program(fleet(gpu_nodes=[gpu_node("gpu-5", "9.0.1.5")]), folder)
    more = run_program(fleet(gpu_nodes=[gpu_node("gpu-1", "9.0.1.1"), gpu_node("gpu-5", "9.0.1.5")]), folder)
    before = {(item.type, item.name): item.inputs for item in few.resources}
    after = {(item.type, item.name): item.inputs for item in more.resources}
    # The control host lets the node in, its Prometheus asks it too, and operators get its context; no other machine is
    # touched, and no program starts anew.
    of_control = {
        ("headframe:index:Host", "control"),
        ("headframe:index:ControlTools", "control-tools"),
        ("kubernetes:core/v1:ConfigMap", "prometheus-nodes"),
    }
    assert {key for key in before if after.get(key) != before[key]} <= of_control
    changed = {key for key, value in before[("headframe:index:Host", "control")].items() if key != "firewall"}
    control = ("headframe:index:Host", "control")
    assert all(after[control][key] == before[control][key] for key in changed)
    assert {name for _, name in after.keys() - before.keys() if "gpu-1" not in name} == set()


def test_operators_get_the_kubeconfig_of_every_cluster_and_wait_for_it(recording: Recording) -> None:
    tools = recording.one("headframe:index:ControlTools", "control-tools")
    assert [cluster["name"] for cluster in tools.plain_inputs["clusters"]] == ["control", "gpu-0", "gpu-1"]
    assert all(cluster["kubeconfig"] == "[secret]" for cluster in tools.public_inputs["clusters"])
    assert tools.inputs["scope"] == "tools"


def test_dumps_leave_the_host_where_the_settings_name_a_target(folder: Path, recording: Recording) -> None:
    name = "postgres-backup"
    assert name not in {item.name for item in recording.of_type("kubernetes:batch/v1:CronJob")}
    target = {"host": "backup.example.net", "port": 2222, "user": "backup", "host_key": HOST_KEY}
    declared = run_program(fleet(backup=target), folder)
    job = declared.one("kubernetes:batch/v1:CronJob", name).inputs["spec"]
    pod = job["jobTemplate"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert job["concurrencyPolicy"] == "Forbid"
    assert pod["metadata"]["labels"]["postgres-access"] == "true"
    assert {"name": "TARGET_HOST", "value": "backup.example.net"} in container["env"]
    assert container["image"] == _image_of(declared.one("kubernetes:apps/v1:StatefulSet", "postgres"))
    secret = declared.one("kubernetes:core/v1:Secret", "postgres-backup-target")
    assert secret.plain_inputs["stringData"]["known_hosts"] == f"[backup.example.net]:2222 {HOST_KEY}\n"
    assert secret.plain_inputs["stringData"]["key"] == "marker-backup"
    assert "marker" not in str(secret.public_inputs)


def _image_of(workload: Recorded) -> str:
    return str(workload.inputs["spec"]["template"]["spec"]["containers"][0]["image"])


def test_the_workloads_of_a_drained_node_leave_and_those_of_a_dead_one_stay_with_it(folder: Path) -> None:
    nodes = [gpu_node("gpu-0", "9.0.0.11", state="drained"), gpu_node("gpu-1", "9.0.0.12", state="dead")]
    recording = run_program(fleet(gpu_nodes=nodes), folder)
    assert [item.name for item in recording.of_type("kubernetes:helm.sh/v3:Release")] == ["gpu-1-gpu-runtime"]
    hosts = {item.name: item.inputs for item in recording.of_type("headframe:index:Host")}
    assert (hosts["gpu-0"]["state"], hosts["gpu-0"]["onDelete"]) == ("drained", "stop")
    assert (hosts["gpu-1"]["state"], hosts["gpu-1"]["onDelete"]) == ("drained", "forget")


def test_images_come_from_a_registry_where_the_settings_say_so(folder: Path) -> None:
    recording = run_program(fleet(images={"delivery": "registry", "registry": "r.example.net/miner"}), folder)
    assert recording.one("headframe:index:Host", "control").inputs["images"] == []
    spec = recording.one("kubernetes:apps/v1:StatefulSet", "redis").inputs["spec"]["template"]["spec"]
    assert spec["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert spec["containers"][0]["image"].startswith("r.example.net/miner/redis:in-")


def test_data_is_protected_unless_the_stack_allows_otherwise(folder: Path) -> None:
    kinds = ("kubernetes:core/v1:PersistentVolume", "kubernetes:core/v1:PersistentVolumeClaim")
    for values, protected in ((fleet(), True), (fleet(allowances={"unprotected_data": True}), False)):
        recording = run_program(values, folder)
        assert {item.request.protect for kind in kinds for item in recording.of_type(kind)} == {protected}


def test_a_missing_chart_folder_is_told_with_the_fix(folder: Path) -> None:
    values = lab_fleet()
    values["gpu_runtime"]["chart"] = "no/such/chart"
    with pytest.raises(pulumi.RunError, match=r"gpu_runtime.chart: no/such/chart"):
        run_program(values, folder)
