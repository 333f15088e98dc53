"""Configurations of Prometheus: who is asked for what, and that Prometheus itself reads them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.dashboards.prometheus import (
    CONFIGURATION_FILE,
    CONFIGURATION_FOLDER,
    control_files,
    federated_nodes,
    node_files,
)

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
NODE = node_files("gpu-0", discovers=True, gpu_namespace="gpu-operator")
PLAIN = node_files("gpu-0", discovers=False, gpu_namespace="gpu-operator")
CONTROL = control_files()
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus"
)


def configuration(files: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(files[CONFIGURATION_FILE])
    return found


def jobs(files: dict[str, str]) -> dict[str, dict[str, Any]]:
    return {job["job_name"]: job for job in configuration(files)["scrape_configs"]}


def promtool(files: dict[str, str], folder: Path) -> str:
    """What Debian's promtool finds wrong with a configuration; nothing where it is well."""
    for name, text in files.items():
        (folder / name).write_text(text.replace(CONFIGURATION_FOLDER, str(folder)).replace(ACCOUNT, str(folder)))
    for name in ("token", "ca.crt"):
        (folder / name).write_text("")
    command = ["promtool", "check", "config", "--syntax-only", str(folder / CONFIGURATION_FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr if done.returncode else ""


@needs_promtool
@pytest.mark.parametrize("files", [PLAIN, CONTROL], ids=["node", "control"])
def test_debians_prometheus_reads_the_configuration(files: dict[str, str], tmp_path: Path) -> None:
    assert promtool(files, tmp_path) == ""


@needs_promtool
def test_debians_prometheus_knows_no_kubernetes_and_reads_all_else_of_the_public_ones(tmp_path: Path) -> None:
    found = promtool(NODE, tmp_path)
    assert "field kubernetes_sd_configs not found" in found
    document = configuration(NODE)
    for job in document["scrape_configs"]:
        job.pop("kubernetes_sd_configs", None)
    assert promtool({**NODE, CONFIGURATION_FILE: yaml.safe_dump(document)}, tmp_path) == ""


@pytest.mark.parametrize("files", [NODE, CONTROL], ids=["node", "control"])
def test_every_file_of_rules_is_there_and_has_rules(files: dict[str, str]) -> None:
    named = {path.removeprefix(f"{CONFIGURATION_FOLDER}/") for path in configuration(files)["rule_files"]}
    assert named == files.keys() - {CONFIGURATION_FILE}
    assert all(yaml.safe_load(files[name])["groups"] for name in named)


def test_a_node_asks_its_machine_its_agent_its_chutes_and_its_gpus() -> None:
    assert set(jobs(NODE)) == {"node-exporter", "agent", "kubelet", "cadvisor", "kubernetes-pods", "dcgm-exporter"}
    assert "dcgm-exporter" not in jobs(node_files("gpu-0", discovers=True, gpu_namespace=None))
    assert set(jobs(PLAIN)) == {"node-exporter", "agent"}
    assert configuration(NODE)["global"]["external_labels"] == {"cluster": "gpu-0"}
    kubelet = jobs(NODE)["kubelet"]
    assert kubelet["tls_config"] == {"ca_file": f"{ACCOUNT}/ca.crt"}, "its certificate is checked"


def test_chutes_are_asked_where_their_annotations_say_under_the_public_names() -> None:
    job = jobs(NODE)["kubernetes-pods"]
    assert job["kubernetes_sd_configs"] == [{"role": "pod", "namespaces": {"names": ["chutes"]}}]
    rules = job["relabel_configs"]
    kept = {rule["source_labels"][0]: rule["regex"] for rule in rules if rule.get("action") == "keep"}
    assert kept == {"__meta_kubernetes_pod_annotation_prometheus_io_scrape": "true"}
    assert {rule.get("target_label") for rule in rules} >= {"__metrics_path__", "__address__"}
    assert rules[-1] == {"action": "labelmap", "regex": "__meta_kubernetes_pod_label_(.+)"}


def test_the_control_host_asks_every_program_and_takes_of_nodes_what_the_federation_file_says() -> None:
    found = jobs(CONTROL)
    assert set(found) == {"api", "monitor", "gepetto", "node-exporter", "federate"}
    assert found["gepetto"]["static_configs"] == [{"targets": ["gepetto.chutes:8000"]}]
    federate = found["federate"]
    assert (federate["metrics_path"], federate["honor_labels"], federate["sample_limit"]) == ("/federate", True, 300)
    assert '{__name__=~"node:.+"}' in federate["params"]["match[]"]


def test_nodes_carry_their_names_and_their_order_means_nothing() -> None:
    listed = json.loads(federated_nodes({"gpu-1": "9.0.0.12", "gpu-0": "9.0.0.11"}))
    assert listed == [
        {"targets": ["9.0.0.11:30090"], "labels": {"cluster": "gpu-0"}},
        {"targets": ["9.0.0.12:30090"], "labels": {"cluster": "gpu-1"}},
    ]
    assert federated_nodes({"a": "9.0.0.1", "b": "9.0.0.2"}) == federated_nodes({"b": "9.0.0.2", "a": "9.0.0.1"})
