"""What is left of a state once a cluster is gone: everything but its objects, and nothing that waits for them."""

from __future__ import annotations

from typing import Any

import pytest

from infra.cli.rebuilt import without_cluster
from tests.support.clusters_in_state import AGENT, NAMESPACE, PROVIDER, REGISTRATION, STACK, resources


def left_of(node: str) -> tuple[dict[str, dict[str, Any]], int]:
    state, forgotten = without_cluster({"version": 3, "deployment": {"resources": resources()}}, node)
    return {item["urn"]: item for item in state["deployment"]["resources"]}, forgotten


def test_the_objects_of_the_cluster_go_and_everything_else_stays() -> None:
    left, forgotten = left_of("gpu-0")
    assert forgotten == 2
    assert {STACK, PROVIDER, REGISTRATION} <= set(left)
    assert not {NAMESPACE, AGENT} & set(left)
    assert len(left) == len(resources()) - 2, "another cluster's objects are not touched"


def test_nothing_waits_for_what_is_gone() -> None:
    registration = left_of("gpu-0")[0][REGISTRATION]
    assert registration["dependencies"] == [STACK]
    assert registration["propertyDependencies"] == {"node": []}
    assert "deletedWith" not in registration


@pytest.mark.parametrize("state", [{"deployment": None}, {}, {"deployment": {"resources": []}}])
def test_an_empty_state_stays_as_it_is(state: dict[str, Any]) -> None:
    assert without_cluster(state, "gpu-0") == (state, 0)


def test_a_node_without_a_cluster_loses_nothing() -> None:
    left, forgotten = left_of("gpu-9")
    assert (len(left), forgotten) == (len(resources()), 0)
