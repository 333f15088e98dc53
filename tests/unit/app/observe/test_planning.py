"""Which deletions a list may bring, and which wait for proof (spec: agent-monitor 20.1, points 4 to 6)."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.observe.entries import KnownObject
from app.observe.planning import Action, Hold, KnownKind, ListReport, Plan, Source, plan_event, plan_list
from app.protocol.channels import ResourceType
from app.protocol.objects import EventType, KubernetesObject, ObjectEvent
from tests.support.kubernetes_objects import node, parsed, pod

NOW = 1_000_000_000
POD = ResourceType.POD


def pods(names: Iterable[str], version: int = 100) -> tuple[KubernetesObject, ...]:
    return tuple(parsed(pod(name, version), POD) for name in names)


def known(
    names: Iterable[str], version: int = 10, *, age_ms: int = 10_000_000, held: dict[str, int] | None = None
) -> KnownKind:
    entries = {f"chutes:{n}": KnownObject(f"uid-Pod-{n}", str(version), NOW - age_ms) for n in names}
    holds = {f"chutes:{n}": Hold(f"uid-Pod-{n}", NOW - ms) for n, ms in (held or {}).items()}
    return KnownKind(entries, frozenset(entries), holds)


def plan(source: Source, listed: Iterable[str], before: KnownKind, **more: object) -> Plan:
    report = ListReport(source, {POD: pods(listed)}, **more)  # type: ignore[arg-type]
    return plan_list(report, {POD: before}, NOW)


def actions(made: Plan) -> dict[str, Action]:
    return {operation.field.removeprefix("chutes:"): operation.action for operation in made.operations}


names = [f"p{n}" for n in range(20)]


@pytest.mark.parametrize("source", [Source.FOREIGN_AGENT, Source.OWN_AGENT])
def test_a_few_absences_are_deleted_and_many_are_held(source: Source) -> None:
    few = plan(source, names[:17], known(names))
    assert dict.fromkeys(names[17:], Action.REMOVE).items() <= actions(few).items()
    many = plan(source, names[:14], known(names))
    assert dict.fromkeys(names[14:], Action.HOLD).items() <= actions(many).items()
    assert many.held == 6


@pytest.mark.parametrize("source", [Source.FOREIGN_AGENT, Source.OWN_AGENT])
def test_x4_an_empty_list_of_pods_deletes_nothing(source: Source) -> None:
    assert set(actions(plan(source, [], known(["a"]))).values()) == {Action.HOLD}


def test_a_live_list_deletes_what_it_lacks_however_much() -> None:
    made = plan(Source.LIVE, [], known(names), versions={POD: "200"})
    assert set(actions(made).values()) == {Action.REMOVE}


def test_a_live_list_does_not_delete_what_was_seen_after_it() -> None:
    assert actions(plan(Source.LIVE, [], known(["a"], 201), versions={POD: "200"})) == {}
    forced = plan(Source.LIVE, [], known(["a"], 201), versions={POD: "200"}, force=frozenset({(POD, "chutes:a")}))
    assert actions(forced) == {"a": Action.REMOVE}


def test_a_second_list_of_our_own_agent_confirms_after_a_minute_and_a_foreign_one_never() -> None:
    held = known(names, held=dict.fromkeys(names, 61_000))
    assert set(actions(plan(Source.OWN_AGENT, [], held)).values()) == {Action.REMOVE}
    assert actions(plan(Source.FOREIGN_AGENT, [], held)) == {}
    early = known(names, held=dict.fromkeys(names, 59_000))
    assert actions(plan(Source.OWN_AGENT, [], early)) == {}


def test_a_held_object_that_is_listed_again_is_released() -> None:
    made = plan_list(ListReport(Source.OWN_AGENT, {POD: pods(["a"], 10)}), {POD: known(["a"], 10, held={"a": 1})}, NOW)
    assert actions(made) == {"a": Action.RELEASE}


def test_what_may_be_younger_than_the_snapshot_is_held() -> None:
    before = known(["a", "b"], 500, age_ms=1000)
    assert actions(plan(Source.OWN_AGENT, ["b"], before))["a"] is Action.HOLD
    older = known(["a", "b"], 50, age_ms=1000)
    assert actions(plan(Source.OWN_AGENT, ["b"], older))["a"] is Action.REMOVE


def test_a_list_with_unreadable_objects_deletes_nothing_and_is_not_complete() -> None:
    made = plan(Source.LIVE, ["a"], known(["a", "b"]), skipped={POD: 1}, versions={POD: "200"})
    assert actions(made)["b"] is Action.HOLD
    assert not made.is_complete


@pytest.mark.parametrize("source", list(Source))
def test_nodes_are_never_pruned_by_an_empty_list_and_only_live_lists_prune_them_at_once(source: Source) -> None:
    entries = {f"None:{n}": KnownObject(f"uid-Node-{n}", "10", 0) for n in ("gpu-1", "gpu-2")}
    before = {ResourceType.NODE: KnownKind(entries, frozenset(entries))}
    empty = plan_list(ListReport(source, {ResourceType.NODE: ()}), before, NOW)
    assert {operation.action for operation in empty.operations} == {Action.HOLD}
    one = (parsed(node("gpu-1", 10), ResourceType.NODE),)
    pruned = plan_list(ListReport(source, {ResourceType.NODE: one}, versions={ResourceType.NODE: "99"}), before, NOW)
    expected = Action.REMOVE if source is Source.LIVE else Action.HOLD
    assert [operation.action for operation in pruned.operations] == [expected]


def test_unchanged_and_older_objects_cost_no_operation() -> None:
    assert actions(plan(Source.OWN_AGENT, ["a"], known(["a"], 100))) == {}
    assert actions(plan(Source.OWN_AGENT, ["a"], known(["a"], 101))) == {}
    assert actions(plan(Source.OWN_AGENT, ["a"], known(["a"], 99))) == {"a": Action.PUT}


def test_an_object_whose_body_is_gone_is_written_again() -> None:
    before = KnownKind(known(["a"], 100).entries, frozenset())
    assert actions(plan(Source.OWN_AGENT, ["a"], before)) == {"a": Action.PUT}


@given(st.sets(st.sampled_from(names)), st.sets(st.sampled_from(names)), st.sampled_from(list(Source)), st.booleans())
def test_x2_a_plan_touches_every_object_at_most_once_and_never_removes_what_is_listed(
    listed: set[str], before: set[str], source: Source, young: bool
) -> None:
    made = plan(source, listed, known(before, 10 if young else 1000), versions={POD: "2000"})
    fields = [operation.field for operation in made.operations]
    assert len(fields) == len(set(fields))
    for operation in made.operations:
        if operation.action in {Action.REMOVE, Action.HOLD}:
            assert operation.field.removeprefix("chutes:") in before - listed


def test_events_become_the_operation_of_their_type() -> None:
    item = parsed(pod("a", 7))
    assert plan_event(ObjectEvent(EventType.DELETED, item)).action is Action.REMOVE
    terminating = plan_event(ObjectEvent(EventType.TERMINATING, item))
    assert (terminating.action, terminating.event) == (Action.PUT, "TERMINATING")
