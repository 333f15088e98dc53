"""Monitoring as the program declares it: who asks whom, what that may do, and where it is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.settings import SettingsError, load
from infra.settings.source import MappingSource
from policies.rules.kubernetes import KubernetesObject, check_object
from policies.rules.model import Level
from tests.support.program import Recorded, Recording
from tests.support.program_run import run_program
from tests.support.settings import SECRETS, fleet, gpu_node, lab_fleet

IMAGE = "docker.io/grafana/grafana@sha256:" + "ab" * 32
PROMETHEUS = "docker.io/prom/prometheus@sha256:" + "cd" * 32
GRAFANA = {"prometheus_image": PROMETHEUS, "grafana": {"image": IMAGE}}
TEE = {"name": "tee-0", "kind": "tee", "address": "9.0.0.9", "gpu": "h200", "gpu_count": 8, "hourly_cost_usd": 24}
NODES = [
    gpu_node("gpu-0", "9.0.0.11"),
    gpu_node("gpu-1", "9.0.0.12", state="drained"),
    gpu_node("gpu-2", "9.0.0.13", state="dead"),
    TEE,
]
POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("monitoring")


@pytest.fixture(scope="module")
def recording(folder: Path) -> Recording:
    """An active, a drained, a dead and a confidential node; Grafana and the public Prometheus."""
    return run_program(fleet(gpu_nodes=NODES, monitoring=GRAFANA), folder)


def pod(recording: Recording, name: str) -> dict[str, Any]:
    found: dict[str, Any] = recording.one(DEPLOYMENT, name).inputs["spec"]["template"]
    return found


def arguments(recording: Recording, name: str) -> list[str]:
    found: list[str] = pod(recording, name)["spec"]["containers"][0]["args"]
    return found


def of_monitoring(recording: Recording) -> list[Recorded]:
    return [item for item in recording.resources if item.inputs.get("metadata", {}).get("namespace") == "monitoring"]


def test_every_machine_of_ours_has_a_prometheus_and_a_node_exporter(recording: Recording) -> None:
    names = {item.name for item in recording.of_type(DEPLOYMENT)}
    for node in ("gpu-0", "gpu-1", "gpu-2"):
        assert {f"{node}-prometheus", f"{node}-node-exporter"} <= names
    assert {"prometheus", "control-node-exporter", "grafana"} <= names
    assert not any("tee-0" in name for name in names)


def test_the_control_host_asks_every_node_but_a_dead_one(recording: Recording) -> None:
    (text,) = recording.one(CONFIG_MAP, "prometheus-nodes").inputs["data"].values()
    found = {target["labels"]["cluster"]: target["targets"] for target in json.loads(text)}
    assert found == {"gpu-0": ["9.0.0.11:30090"], "gpu-1": ["9.0.0.12:30090"], "tee-0": ["9.0.0.9:30090"]}


def test_a_nodes_prometheus_is_read_by_the_control_host_alone(recording: Recording) -> None:
    (rule,) = recording.one(POLICY, "gpu-0-prometheus").inputs["spec"]["ingress"]
    assert [peer["ipBlock"]["cidr"] for peer in rule["from"]] == ["9.0.0.10/32"]
    service = recording.one("kubernetes:core/v1:Service", "gpu-0-prometheus").inputs["spec"]
    assert (service["ports"][0]["nodePort"], service["externalTrafficPolicy"]) == (30090, "Local")


def test_the_audit_finds_prometheus_by_the_public_names(recording: Recording) -> None:
    service = recording.one("kubernetes:core/v1:Service", "prometheus").inputs
    assert service["metadata"]["name"] == "prometheus-server"
    assert service["metadata"]["namespace"] == "monitoring"
    template = pod(recording, "prometheus")
    labels = template["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert labels["app.kubernetes.io/name"] == "prometheus"
    assert labels["app.kubernetes.io/component"] == "server"
    assert template["spec"]["containers"][0]["name"] == "prometheus-server"
    job = recording.one("kubernetes:batch/v1:CronJob", "audit-exporter").inputs["spec"]["jobTemplate"]["spec"]
    environment = {item["name"]: item.get("value") for item in job["template"]["spec"]["containers"][0]["env"]}
    assert environment["PROMETHEUS_PORT"] == str(int(service["spec"]["ports"][0]["port"]))
    role = recording.one("kubernetes:rbac.authorization.k8s.io/v1:Role", "audit-exporter-monitoring")
    assert role.inputs["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]


def test_only_a_nodes_prometheus_may_ask_its_cluster_and_only_for_names_and_counters(recording: Recording) -> None:
    for name in ("prometheus", "control-node-exporter", "gpu-0-node-exporter", "grafana"):
        assert pod(recording, name)["spec"]["automountServiceAccountToken"] is False, name
    assert pod(recording, "gpu-0-prometheus")["spec"]["automountServiceAccountToken"] is True
    role = recording.one("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", "gpu-0-prometheus").inputs
    assert [(rule["resources"], rule["verbs"]) for rule in role["rules"]] == [
        (["nodes"], ["get", "list", "watch"]),
        (["nodes/metrics"], ["get"]),
    ]
    binding = recording.one("kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding", "gpu-0-prometheus")
    assert binding.inputs["subjects"][0]["namespace"] == "monitoring"
    roles = recording.of_type("kubernetes:rbac.authorization.k8s.io/v1:Role")
    seen = {item.name: item.inputs["rules"] for item in roles if "-prometheus-" in item.name}
    pods_only = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    # A drained node's GPU runtime is gone, and with it the namespace that a Role would need.
    wanted = {"gpu-0": ("chutes", "gpu-operator"), "gpu-1": ("chutes",), "gpu-2": ("chutes", "gpu-operator")}
    assert seen == {f"{n}-prometheus-{space}": pods_only for n, spaces in wanted.items() for space in spaces}


def test_node_exporter_reads_the_machine_and_the_trackers_figures_and_writes_nothing(recording: Recording) -> None:
    text = "--collector.textfile.directory=/host/var/snap/headframe/tracker"
    assert text in arguments(recording, "control-node-exporter")
    assert not any("textfile" in argument for argument in arguments(recording, "gpu-0-node-exporter"))
    spec = pod(recording, "control-node-exporter")["spec"]
    assert (spec["hostNetwork"], spec["securityContext"]["runAsNonRoot"]) == (True, True)
    assert [(m["mountPath"], m["readOnly"]) for m in spec["containers"][0]["volumeMounts"]] == [("/host", True)]
    job = recording.one("kubernetes:batch/v1:CronJob", "tracker").inputs["spec"]["jobTemplate"]["spec"]["template"]
    environment = {item["name"]: item["value"] for item in job["spec"]["containers"][0]["env"]}
    assert environment["TRACKER_METRICS_FILE"] == "/data/tracker.prom"


def test_gepetto_lets_prometheus_in_and_nobody_else(recording: Recording) -> None:
    (rule,) = recording.one(POLICY, "gepetto").inputs["spec"]["ingress"]
    (peer,) = rule["from"]
    assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}


def test_data_outlives_the_control_hosts_pod_and_its_folder_is_made_by_the_host(recording: Recording) -> None:
    volume = recording.one("kubernetes:core/v1:PersistentVolume", "prometheus-data")
    assert volume.request.protect
    files = recording.one("headframe:index:Host", "control").inputs["base"]["files"]
    assert f"{volume.inputs['spec']['local']['path']}/README" in {file["path"] for file in files}
    claim = recording.one("kubernetes:core/v1:PersistentVolumeClaim", "prometheus-data").inputs["metadata"]
    assert claim["namespace"] == volume.inputs["spec"]["claimRef"]["namespace"] == "monitoring"
    assert "--storage.tsdb.retention.time=15d" in arguments(recording, "prometheus")
    assert "--storage.tsdb.retention.size=3276MB" in arguments(recording, "gpu-0-prometheus")


def test_everything_of_it_waits_for_its_namespace_and_keeps_the_rules(recording: Recording) -> None:
    items = of_monitoring(recording)
    assert len(items) > 30
    for item in items:
        after = {urn.rsplit("::", 1)[-1] for urn in item.request.dependencies}
        if item.type.endswith((":ServiceAccount", ":ConfigMap", ":Secret", ":NetworkPolicy", ":Service", "Claim")):
            assert any(name.endswith("-monitoring") for name in after), item.name
        seen = KubernetesObject(
            type=item.type,
            name=item.name,
            properties=item.public_inputs,
            provider=item.provider,
            protected=item.request.protect,
        )
        assert [str(found) for found in check_object(seen) if found.level is Level.MANDATORY] == []


def test_grafana_takes_its_password_from_a_secret_and_reaches_prometheus_alone(recording: Recording) -> None:
    secret = recording.one("kubernetes:core/v1:Secret", "grafana-admin")
    assert secret.plain_inputs["stringData"] == {"password": "marker-grafana"}
    assert "marker" not in str([item.public_inputs for item in recording.resources if "grafana" in item.name])
    (container,) = pod(recording, "grafana")["spec"]["containers"]
    assert container["image"] == IMAGE
    _, prometheus = recording.one(POLICY, "grafana").inputs["spec"]["egress"]
    assert prometheus["to"][0]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}
    service = recording.one("kubernetes:core/v1:Service", "grafana").inputs["spec"]
    assert service["ports"][0]["nodePort"] == 30080
    assert recording.outputs["monitoring"]["grafana"] == "http://9.0.0.10:30080"


def test_grafana_shows_every_dashboard_from_the_source_that_they_ask(recording: Recording) -> None:
    boards = recording.one(CONFIG_MAP, "grafana-dashboards").inputs["data"]
    names = ("earnings", "fleet", "gepetto", "gpus", "tracker")
    assert set(boards) == {f"headframe-{name}.json" for name in names}
    (source,) = json.loads(recording.one(CONFIG_MAP, "grafana-datasources").inputs["data"]["prometheus.yaml"])[
        "datasources"
    ]
    asked = {panel["datasource"]["uid"] for text in boards.values() for panel in json.loads(text)["panels"][1:2]}
    assert asked == {source["uid"]}
    assert source["url"] == "http://prometheus-server:9090"


def test_without_an_image_there_is_no_grafana_and_the_outputs_say_how_to_have_one(folder: Path) -> None:
    found = run_program(fleet(), folder)
    assert not [item for item in found.resources if "grafana" in item.name]
    assert "headframe:monitoring.grafana.image" in found.outputs["monitoring"]["grafana"]


def test_debians_prometheus_is_given_no_rights_and_the_outputs_say_what_it_misses(folder: Path) -> None:
    found = run_program(fleet(), folder)
    spec = pod(found, "gpu-0-prometheus")["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["containers"][0]["image"].startswith("headframe.local/prometheus:in-")
    assert not [item for item in found.resources if "Role" in item.type and "-prometheus" in item.name]
    assert "headframe:monitoring.prometheus_image" in found.outputs["monitoring"]["chutes"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (fleet(), False),
        (fleet(monitoring=GRAFANA), True),
        (fleet(monitoring={**GRAFANA, "enabled": False}), False),
        (fleet(gpu_nodes=[TEE]), True),
    ],
    ids=["debian", "public", "off", "confidential nodes alone"],
)
def test_the_audit_asks_no_prometheus_that_would_report_of_idle_chutes(
    values: dict[str, Any], told: bool, folder: Path
) -> None:
    job = run_program(values, folder).one("kubernetes:batch/v1:CronJob", "audit-exporter").inputs
    containers = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert ("PROMETHEUS_PORT" in {item["name"] for item in containers[0]["env"]}) is told


def test_a_public_prometheus_runs_in_its_place(recording: Recording) -> None:
    for name in ("prometheus", "gpu-0-prometheus"):
        (container,) = pod(recording, name)["spec"]["containers"]
        assert (container["image"], container["imagePullPolicy"]) == (PROMETHEUS, "IfNotPresent")
    assert recording.outputs["monitoring"]["chutes"] == "measured"


def test_a_lab_has_no_grafana_and_says_so(folder: Path) -> None:
    found = run_program(lab_fleet() | {"monitoring": GRAFANA}, folder)
    assert {"prometheus", "gpu-0-prometheus"} <= {item.name for item in found.of_type(DEPLOYMENT)}
    assert not [item for item in found.resources if "grafana" in item.name]
    assert PROMETHEUS not in str([item.inputs for item in found.resources])
    assert found.outputs["monitoring"]["grafana"].startswith("left out")
    assert "a lab pulls no public image" in found.outputs["monitoring"]["chutes"]


def test_switched_off_nothing_of_it_is_declared(folder: Path) -> None:
    for values in (fleet(monitoring={"enabled": False}), lab_fleet() | {"monitoring": {"enabled": False}}):
        found = run_program(values, folder)
        assert "monitoring" not in found.outputs
        assert of_monitoring(found) == []
        assert not [item for item in found.of_type(DEPLOYMENT) if item.name.endswith(("prometheus", "node-exporter"))]
        assert "TRACKER_METRICS_FILE" not in str([item.inputs for item in found.resources])


def test_the_password_is_asked_for_where_grafana_is_declared_and_only_there() -> None:
    with pytest.raises(SettingsError, match="pulumi config set --secret grafana_password"):
        load(MappingSource(fleet(monitoring=GRAFANA), SECRETS))
    load(MappingSource(fleet(), SECRETS))
    load(MappingSource(lab_fleet() | {"monitoring": GRAFANA}, SECRETS))


def test_an_image_that_is_not_pinned_is_refused() -> None:
    unpinned = {"grafana": {"image": "docker.io/grafana/grafana:11.6.0"}}
    with pytest.raises(SettingsError, match=r"monitoring\.grafana\.image"):
        load(MappingSource(fleet(monitoring=unpinned), SECRETS | {"grafana_password": "marker"}))
