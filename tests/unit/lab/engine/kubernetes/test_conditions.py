"""`pulumi.com/waitFor` takes JSONPaths and conditions, one or several."""

from __future__ import annotations

import pytest

from lab.engine.kubernetes.conditions import WaitForError, judge, parse_wishes
from lab.engine.kubernetes.manifests import Manifest

LIVE: Manifest = {
    "metadata": {"generation": 3},
    "status": {
        "observedGeneration": 3,
        "phase": "Running",
        "ready": True,
        "count": 2,
        "list": [{"type": "A", "v": "1"}, {"type": "B", "v": "2"}],
        "a.b": {"c": "d"},
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "Stuck", "status": "False"}],
    },
}


@pytest.mark.parametrize(
    "annotation",
    [
        "jsonpath={.status.phase}=Running",
        "jsonpath={$.status.phase}",
        "jsonpath={.status.ready}=true",
        "jsonpath={.status.count}=2",
        "jsonpath={.status.list[1].v}=2",
        "jsonpath={.status.list[-1].type}=B",
        "jsonpath={.status.list[*].v}=1",
        'jsonpath={.status.list[?(@.type=="B")].v}=2',
        "jsonpath={.status['a.b'].c}=d",
        "condition=Ready",
        "condition=stuck=false",
        '["condition=Ready", "jsonpath={.status.phase}"]',
    ],
)
def test_a_met_wish_is_ready(annotation: str) -> None:
    if "stuck" in annotation:
        annotation = annotation.replace("stuck", "Stuck")
    assert judge(LIVE, parse_wishes(annotation)).is_ready


@pytest.mark.parametrize(
    "annotation",
    [
        "jsonpath={.status.phase}=Pending",
        "jsonpath={.status.nothing}",
        "jsonpath={.status.list[7].v}",
        "condition=Stuck",
        '["condition=Ready", "condition=Stuck"]',
    ],
)
def test_an_unmet_wish_is_named(annotation: str) -> None:
    found = judge(LIVE, parse_wishes(annotation))
    assert not found.is_ready
    assert "is not met" in found.details[0]


def test_nothing_is_met_before_the_controller_has_seen_the_generation() -> None:
    old = {**LIVE, "metadata": {"generation": 4}}
    assert not judge(old, parse_wishes("condition=Ready")).is_ready


@pytest.mark.parametrize("annotation", ["ready", "jsonpath=.status", "jsonpath={.status[}", "[]", "[1]", "condition="])
def test_what_cannot_be_understood_is_said(annotation: str) -> None:
    with pytest.raises(WaitForError):
        parse_wishes(annotation)
