"""Monitoring of the running fleet: every node is asked, rules are loaded and hold, little leaves a node.

Grafana is not here: the lab pulls no public image, and its outputs say so.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Final

import pytest
import yaml

from app.protocol.ports import NodePort
from infra.dashboards.prometheus import FEDERATED_SERIES, PROGRAMS
from lab.fleet.engine import CLONE
from tests.support.lab import Lab
from tests.support.lab_commands import prometheus, query, soon

pytestmark = [pytest.mark.e2e, pytest.mark.host, pytest.mark.timeout(1800)]

#: Of a node with simulated GPUs, whose chutes and GPUs no Prometheus of Debian's asks.
OF_EVERY_NODE: Final = {
    "node:agent_state",
    "node:boot_time_seconds",
    "node:cpu_busy:ratio",
    "node:load_per_core:ratio",
    "node:memory_used:ratio",
    "node:network_receive_bytes:rate2m",
    "node:targets_down:count",
}


def by(lab: Lab, label: str, expression: str, machine: str | None = None) -> dict[str, float]:
    """Values by one label, as the control host's Prometheus or another machine's has them."""
    return {labels.get(label, ""): value for labels, value in query(lab, machine or lab.control, expression)}


def by_node(lab: Lab, expression: str) -> dict[str, float]:
    """Values of the fleet's GPU nodes. What a node that has left sent last is still answered for five minutes."""
    return {name: value for name, value in by(lab, "cluster", expression).items() if name in lab.gpu_nodes}


def rules_of(*files: str) -> set[str]:
    """Names of all rules in files of the clone."""
    found: set[str] = set()
    for file in files:
        content = yaml.safe_load((CLONE / "infra" / "dashboards" / "rules" / file).read_text())
        found |= {rule.get("record") or rule["alert"] for group in content["groups"] for rule in group["rules"]}
    return found


def test_the_control_hosts_prometheus_reads_every_node_and_what_its_rules_recorded(settled: Lab) -> None:
    nodes = dict.fromkeys(settled.gpu_nodes, 1.0)
    assert soon(lambda: by_node(settled, 'up{job="federate"}'), nodes) == nodes

    def from_every_node(name: str) -> dict[str, float]:
        return by_node(settled, f"count by (cluster) ({name}) > bool 0")

    for name in sorted(OF_EVERY_NODE):
        assert soon(partial(from_every_node, name), nodes) == nodes, name
    none = dict.fromkeys(nodes, 0.0)
    assert soon(lambda: by_node(settled, "node:targets_down:count"), none) == none
    assert soon(lambda: by_node(settled, 'node:agent_state{state="running"}'), nodes) == nodes


def test_it_asks_every_program_of_the_control_host_and_counts_the_fleet(settled: Lab) -> None:
    jobs = dict.fromkeys((*PROGRAMS, "node-exporter"), 1.0)
    assert soon(lambda: by(settled, "job", 'up{job!="federate"}'), jobs) == jobs
    every = {"": float(len(settled.gpu_nodes))}
    assert soon(lambda: by(settled, "", "fleet:gpus:count"), every) == every
    assert soon(lambda: by(settled, "", "fleet:clusters_healthy:count"), every) == every


@pytest.mark.parametrize(
    ("place", "files"),
    [("control host", ("fleet.yaml", "alerts.yaml")), ("node", ("node.yaml",))],
    ids=["fleet", "node"],
)
def test_every_rule_is_loaded_and_evaluates(settled: Lab, place: str, files: tuple[str, ...]) -> None:
    machine = settled.control if place == "control host" else settled.gpu_nodes[0]

    def healthy() -> set[str]:
        groups = prometheus(settled, machine, "rules")["groups"]
        return {rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "ok"}

    wanted = rules_of(*files)
    assert soon(healthy, wanted) == wanted


def test_few_series_leave_a_node_and_more_would_be_refused(settled: Lab) -> None:
    sent = by(settled, "cluster", 'scrape_samples_scraped{job="federate"}')
    assert set(sent) == set(settled.gpu_nodes)
    assert all(len(OF_EVERY_NODE) <= number <= FEDERATED_SERIES for number in sent.values()), sent
    kept = by(settled, "job", 'count by (job) ({job=~"node-exporter|agent"})', settled.gpu_nodes[0])
    assert set(kept) == {"node-exporter", "agent"}, "a node keeps what it does not send"
    text = yaml.safe_load(prometheus(settled, settled.control, "status/config")["yaml"])
    (federate,) = [job for job in text["scrape_configs"] if job["job_name"] == "federate"]
    assert federate["sample_limit"] == FEDERATED_SERIES


def test_a_node_shows_its_prometheus_to_the_control_host_alone(settled: Lab) -> None:
    asked, other = settled.gpu_nodes[:2]
    address = next(host.address for host in settled.fleet.hosts if host.name == asked)
    knock = (
        f"timeout 5 bash -c '</dev/tcp/{address}/{int(NodePort.WORKER_PROMETHEUS)}' 2>/dev/null && echo in || echo out"
    )
    assert settled.fleet.ssh(settled.control, knock).strip() == "in"
    assert settled.fleet.ssh(other, knock).strip() == "out"


def test_the_outputs_say_what_is_left_out(settled: Lab) -> None:
    outputs = json.loads(settled.engine.quietly("stack", "output", "--json"))["monitoring"]
    assert outputs["grafana"].startswith("left out")
    assert outputs["chutes"].startswith("not measured")
