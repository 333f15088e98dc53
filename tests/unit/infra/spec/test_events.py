"""Events: each survives its line, unknown ones are errors, a plan says what it would do."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from infra.spec import (
    Connected,
    Drift,
    ErrorEvent,
    ErrorKind,
    Event,
    ExitCode,
    FactsEvent,
    Hello,
    HostFacts,
    LogEvent,
    LogLevel,
    OperationEvent,
    OperationState,
    Plan,
    PlanEvent,
    PlannedOperation,
    ResultEvent,
    Verb,
    parse_event,
)

PLAN = Plan(
    operations=(
        PlannedOperation(name="base | packages", would_change=False),
        PlannedOperation(name="base | file /etc/motd", would_change=True),
    )
)


@pytest.mark.parametrize(
    "event",
    [
        Hello(verb=Verb.PLAN, host="gpu-0"),
        Connected(seconds=0.1),
        FactsEvent(facts=HostFacts(cores=4)),
        PlanEvent(plan=PLAN),
        OperationEvent(number=1, total=2, name="a", state=OperationState.CHANGED),
        LogEvent(level=LogLevel.WARNING, message="m"),
        ResultEvent(changed=("a",), kubeconfig="k", seconds=1.5),
        ErrorEvent(kind=ErrorKind.OPERATION_FAILED, message="m", operation="a", output="o"),
    ],
    ids=lambda event: event.event,
)
def test_an_event_survives_its_line(event: Event) -> None:
    line = event.model_dump_json(by_alias=True)
    assert "\n" not in line
    assert parse_event(line) == event


@pytest.mark.parametrize("line", ["", "{}", '{"event": "surprise"}', '{"event": "log"}', "stray print"])
def test_what_is_not_an_event_is_an_error(line: str) -> None:
    with pytest.raises(ValidationError):
        parse_event(line)


def test_a_plan_names_its_changes_in_order() -> None:
    assert PLAN.changes == ("base | file /etc/motd",)
    assert PLAN.summary() == "would run 1 of 2 operations: base | file /etc/motd"
    assert Drift.of(PLAN).operations == PLAN.changes


def test_a_plan_without_changes_says_so() -> None:
    assert Plan(operations=PLAN.operations[:1]).summary() == "would run 0 of 1 operations"


def test_a_long_plan_is_cut_and_says_by_how_much() -> None:
    plan = Plan(operations=tuple(PlannedOperation(name=f"op {n}", would_change=True) for n in range(20)))
    assert plan.summary().endswith("op 11, and 8 more")


def test_every_failure_has_an_exit_code() -> None:
    names = {kind.value.upper().replace("-", "_") for kind in ErrorKind}
    assert names == set(ExitCode.__members__) - {"DONE"}
