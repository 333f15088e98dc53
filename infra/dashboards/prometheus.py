"""Configurations of Prometheus, on a node and on the control host (spec: infra 8.2 to 8.4). Pure: text from plain data.

A node keeps everything for a day and hands on little; the control host asks every node and the fleet's programs.
No rule stands here: they are files in `rules/`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from app.protocol.labels import CHUTES_NAMESPACE
from app.protocol.ports import ClusterPort, HostPort, NodePort

#: Where the components mount the configuration, and the list of nodes, which changes without a restart.
CONFIGURATION_FOLDER: Final = "/etc/headframe/prometheus"
CONFIGURATION_FILE: Final = "prometheus.yaml"
NODES_FOLDER: Final = "/etc/headframe/nodes"
NODES_FILE: Final = "nodes.json"
#: What one node may send; a node that sends more is dropped whole, and `NodeNotFederated` says so.
FEDERATED_SERIES: Final = 300
#: Services of the programs that the control host asks.
PROGRAMS: Final = ("api", "monitor", "gepetto")
_RULES: Final = Path(__file__).parent / "rules"
_NODE_RULES: Final = ("node.yaml",)
_FLEET_RULES: Final = ("fleet.yaml", "alerts.yaml")
_EVERY: Final = "30s"
_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_POD: Final = "__meta_kubernetes_pod"
_EXPORTER: Final = f"node-exporter:{int(HostPort.NODE_EXPORTER)}"
#: Of cAdvisor what a person asks after a chute; all of it would be thousands of series.
_CONTAINERS: Final = (
    "container_(cpu_usage_seconds_total|memory_working_set_bytes|fs_usage_bytes|network_.*_bytes_total)"
)


def node_files(cluster: str, *, discovers: bool, gpu_namespace: str | None) -> dict[str, str]:
    """Files of one GPU node's Prometheus by name.

    Args:
        discovers: whether it is built with Kubernetes; Debian's is not, and refuses a configuration that needs it.
        gpu_namespace: where NVIDIA's exporter runs, if it does.
    """
    jobs = [
        _static("node-exporter", _EXPORTER),
        _static("agent", f"agent.{CHUTES_NAMESPACE}:{int(ClusterPort.HTTP)}"),
    ]
    if discovers:
        jobs.append(_kubelet("kubelet", "/metrics", []))
        jobs.append(_kubelet("cadvisor", "/metrics/cadvisor", [_keep("__name__", _CONTAINERS)]))
        jobs.append(_chutes())
    if discovers and gpu_namespace is not None:
        jobs.append(_gpus(gpu_namespace))
    return _files(jobs, _NODE_RULES, {"cluster": cluster})


def control_files() -> dict[str, str]:
    """Files of the control host's Prometheus by name; which nodes there are is in a file of its own."""
    jobs = [_static(program, f"{program}.{CHUTES_NAMESPACE}:{int(ClusterPort.HTTP)}") for program in PROGRAMS]
    federate: dict[str, Any] = {
        "job_name": "federate",
        "honor_labels": True,
        "metrics_path": "/federate",
        "params": {"match[]": yaml.safe_load(_rules("federation.yaml"))["match"]},
        "sample_limit": FEDERATED_SERIES,
        "file_sd_configs": [{"files": [f"{NODES_FOLDER}/{NODES_FILE}"], "refresh_interval": "1m"}],
    }
    return _files([*jobs, _static("node-exporter", _EXPORTER), federate], _FLEET_RULES, {})


def federated_nodes(nodes: Mapping[str, str]) -> str:
    """The list of nodes, as Prometheus finds it in a file. `nodes`: public address of each by name."""
    targets = [
        {"targets": [f"{address}:{int(NodePort.WORKER_PROMETHEUS)}"], "labels": {"cluster": name}}
        for name, address in sorted(nodes.items())
    ]
    return json.dumps(targets, indent=1) + "\n"


def _files(jobs: list[dict[str, Any]], rules: tuple[str, ...], labels: Mapping[str, str]) -> dict[str, str]:
    shared = {"scrape_interval": _EVERY, "evaluation_interval": _EVERY, "external_labels": dict(labels)}
    document = {
        "global": shared,
        "rule_files": [f"{CONFIGURATION_FOLDER}/{file}" for file in rules],
        "scrape_configs": jobs,
    }
    return {CONFIGURATION_FILE: yaml.safe_dump(document, sort_keys=False), **{file: _rules(file) for file in rules}}


def _rules(file: str) -> str:
    return (_RULES / file).read_text()


def _static(job: str, target: str) -> dict[str, Any]:
    return {"job_name": job, "static_configs": [{"targets": [target]}]}


def _kubelet(job: str, path: str, kept: list[dict[str, Any]]) -> dict[str, Any]:
    """The kubelet itself, with the account's token; k3s signs its certificate with the cluster's authority."""
    return {
        "job_name": job,
        "scheme": "https",
        "metrics_path": path,
        "tls_config": {"ca_file": f"{_ACCOUNT}/ca.crt"},
        "authorization": {"credentials_file": f"{_ACCOUNT}/token"},
        "kubernetes_sd_configs": [{"role": "node"}],
        "metric_relabel_configs": kept,
    }


def _gpus(namespace: str) -> dict[str, Any]:
    """NVIDIA's exporter, by the label that the GPU operator gives it, on the port that it declares."""
    return {
        "job_name": "dcgm-exporter",
        "kubernetes_sd_configs": [_pods_of(namespace)],
        "relabel_configs": [
            _keep(f"{_POD}_label_app", "nvidia-dcgm-exporter"),
            _keep(f"{_POD}_container_port_name", "metrics"),
        ],
    }


def _chutes() -> dict[str, Any]:
    """Pods that ask for it, under the job and label names of the public chart: the audit's queries rely on them."""
    return {
        "job_name": "kubernetes-pods",
        "kubernetes_sd_configs": [_pods_of(CHUTES_NAMESPACE)],
        "relabel_configs": [
            _keep(f"{_POD}_annotation_prometheus_io_scrape", "true"),
            # A job that ended is no target that is down.
            {"source_labels": [f"{_POD}_phase"], "action": "drop", "regex": "Pending|Succeeded|Failed"},
            {
                "source_labels": [f"{_POD}_annotation_prometheus_io_path"],
                "target_label": "__metrics_path__",
                "regex": "(.+)",
            },
            {
                "source_labels": [f"{_POD}_ip", f"{_POD}_annotation_prometheus_io_port"],
                "target_label": "__address__",
                "regex": "(.+);(.+)",
                "replacement": "$1:$2",
            },
            {"action": "labelmap", "regex": f"{_POD}_label_(.+)"},
        ],
    }


def _pods_of(namespace: str) -> dict[str, Any]:
    return {"role": "pod", "namespaces": {"names": [namespace]}}


def _keep(label: str, pattern: str) -> dict[str, Any]:
    return {"source_labels": [label], "action": "keep", "regex": pattern}
