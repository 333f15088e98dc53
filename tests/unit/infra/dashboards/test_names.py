"""Every metric that a dashboard, rule or alert names is one that a program of ours or a listed exporter has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry

import app.api.verifier  # noqa: F401 - its metrics are in the process-wide registry
from agent.watch.metrics import AgentMetrics
from app.gepetto.metrics import Metrics as GepettoMetrics
from app.observe.metrics import MonitorMetrics
from infra.cli.app import run
from infra.dashboards import grafana
from infra.dashboards.grafana import read_boards
from tests.support.promql import metric_names
from tracker.exposition import TrackerMetrics

FOLDER = Path(grafana.__file__).parent
RULES = FOLDER / "rules"
#: Written by Prometheus itself about its own alerts.
_OF_PROMETHEUS = {"ALERTS"}


def rules(file: str) -> list[dict[str, str]]:
    document = yaml.safe_load((RULES / file).read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def named_by_rules(*files: str) -> set[str]:
    return {name for file in files for rule in rules(file) for name in metric_names(rule["expr"])}


def named_by(board: grafana.Board) -> set[str]:
    queries = [query.expr for row in board.rows for panel in row.panels for query in panel.queries]
    return {name for expression in queries for name in metric_names(expression)}


def of_exporters() -> set[str]:
    exporters = yaml.safe_load((FOLDER / "exporters.yaml").read_text())
    return {name for exporter in exporters.values() for name in exporter["metrics"]}


def of_registry(registry: CollectorRegistry) -> Iterator[str]:
    """Names of all series, histograms' and counters' own endings included."""
    for family in registry.collect():
        yield family.name
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ())
        yield from (f"{family.name}{ending}" for ending in endings)


@pytest.fixture(scope="module")
def known() -> set[str]:
    registries = [made.registry for made in (AgentMetrics(), GepettoMetrics(), MonitorMetrics(), TrackerMetrics())]
    names = {name for registry in (REGISTRY, *registries) for name in of_registry(registry)}
    names |= of_exporters()
    names |= {rule["record"] for file in ("node.yaml", "fleet.yaml") for rule in rules(file)}
    return names | _OF_PROMETHEUS


@pytest.mark.parametrize("file", ["node.yaml", "fleet.yaml", "alerts.yaml"])
def test_rules_name_metrics_that_exist(file: str, known: set[str]) -> None:
    assert named_by_rules(file) - known == set()
    assert len(named_by_rules(file)) > 5


@pytest.mark.parametrize("board", read_boards(), ids=lambda board: board.uid)
def test_dashboards_name_metrics_that_exist(board: grafana.Board, known: set[str]) -> None:
    assert named_by(board) - known == set()
    assert named_by(board)


def test_a_listed_metric_of_an_exporter_is_used_somewhere() -> None:
    assert of_exporters() - named_by_rules("node.yaml", "alerts.yaml") == set()


def test_the_fleet_reads_of_nodes_only_what_is_federated() -> None:
    far = of_exporters() - {"up"} | set(of_registry(AgentMetrics().registry))
    named = named_by_rules("fleet.yaml", "alerts.yaml").union(*(named_by(board) for board in read_boards()))
    assert named & far == set()


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('sum by (a, b) (rate(x_total{c="d", e=~"f|g"}[5m])) / on (h) group_left(i) j:k:l > 0', {"x_total", "j:k:l"}),
        ("histogram_quantile(0.99, sum by (le) (rate(y_bucket[5m]))) or vector(0)", {"y_bucket"}),
        ("time() - max(z offset 5m) > 14 * 86400 and absent(w)", {"z", "w"}),
        ("a unless on (b) (c == 1e3)", {"a", "c"}),
    ],
)
def test_names_are_told_from_functions_labels_and_words(expression: str, names: set[str]) -> None:
    assert metric_names(expression) == names


ALERTS = yaml.safe_load((RULES / "alerts.yaml").read_text())
COMMANDS = sorted({rule["annotations"]["command"] for group in ALERTS["groups"] for rule in group["rules"]})


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.startswith("headframe ")])
def test_every_command_that_an_alert_names_is_one_that_there_is(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, *words = command.split()
    assert run([*words, "--help"]) == 0
    assert f"headframe {' '.join(words)}" in capsys.readouterr().out


def test_no_alert_begins_with_a_command_that_removes_something() -> None:
    removing = ("reset", "delete", "purge", "scorch", "remove", "restore")
    assert not [command for command in COMMANDS if any(word in command for word in removing)]
