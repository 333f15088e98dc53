"""Errors are short, states are taken apart, ignored fields are left alone."""

from __future__ import annotations

import pytest

from lab.engine.kubernetes.calls import Answer, InitializationError
from lab.engine.kubernetes.changes import contains, parse_path, path_text
from lab.engine.kubernetes.manifests import from_properties, is_owned_by, pruned, to_properties
from lab.engine.kubernetes.state import State
from lab.engine.kubernetes.values import Properties, Secret
from lab.engine.kubernetes.wire import initialization_detail, shortened
from lab.engine.kubernetes.writes import without_ignored


def test_long_errors_are_shortened_and_say_so() -> None:
    assert shortened("short", 10) == "short"
    long = shortened("x" * 5000, 2000)
    assert len(long) <= 2000
    assert long.endswith("(shortened)")
    error = InitializationError("m" * 9000, Answer("id", {}), tuple("d" * 900 for _ in range(99)))
    assert len(initialization_detail(error).SerializeToString()) < 5000


def test_a_state_is_taken_apart_and_put_together_again() -> None:
    properties: Properties = {
        "kind": "ConfigMap",
        "data": {"a": Secret("1"), "b": "2"},
        "__inputs": {"data": {"a": Secret("1")}},
        "__initialApiVersion": "v1",
        "__fieldManager": "m",
    }
    state = State.parse(properties)
    assert (state.inputs, state.manager, state.initial_version) == ({"data": {"a": "1"}}, "m", "v1")
    assert state.live == {"kind": "ConfigMap", "data": {"a": "1", "b": "2"}}
    assert state.properties({"data": {"a": Secret("")}}) == properties


def test_the_users_field_manager_wins() -> None:
    inputs: Properties = {"metadata": {"annotations": {"pulumi.com/patchFieldManager": "mine"}}}
    assert State({}, {}, "", "kept").manager_for(inputs) == "mine"
    assert State({}, {}, "", "kept").manager_for({}) == "kept"
    assert State({}, {}).manager_for({}).startswith("pulumi-kubernetes-")


def test_schema_extensions_change_their_spelling() -> None:
    dashed: Properties = {"schema": [{"x-kubernetes-list-type": "map", "other-key": 1}]}
    assert to_properties(dashed) == {"schema": [{"x_kubernetes_list_type": "map", "other-key": 1}]}
    assert from_properties(to_properties(dashed)) == dashed


def test_only_what_was_wished_for_is_kept_of_a_live_object() -> None:
    live: Properties = {"a": {"b": 1, "c": 2}, "list": [{"x": 1, "y": 2}, {"x": 3}], "kind": ["s"], "n": None}
    shape: Properties = {"a": {"b": 0}, "list": [{"x": 0}], "kind": [{}], "n": {}, "gone": 1}
    assert pruned(live, shape) == {"a": {"b": 1}, "list": [{"x": 1}], "kind": ["s"], "n": None}
    assert pruned({"l": []}, {"l": [1]}) == {"l": []}


def test_owners_are_recognised_by_their_uid() -> None:
    owner: Properties = {"kind": "Job", "metadata": {"uid": "1"}}
    assert is_owned_by({"metadata": {"ownerReferences": [{"kind": "Job", "uid": "1"}]}}, owner)
    assert not is_owned_by({"metadata": {"ownerReferences": [{"kind": "Job", "uid": "2"}]}}, owner)


@pytest.mark.parametrize("text", ["spec.replicas", "a[0].b", 'metadata.annotations["x.y/z"]', "data"])
def test_paths_are_read_as_they_are_written(text: str) -> None:
    assert path_text(parse_path(text)) == text


def test_paths_contain_what_lies_below() -> None:
    assert contains(parse_path("spec"), parse_path("spec.replicas"))
    assert contains(parse_path("a[*].b"), parse_path("a[3].b.c"))
    assert not contains(parse_path("spec.replicas"), parse_path("spec"))
    with pytest.raises(ValueError, match="no property path"):
        parse_path("a[")


def test_ignored_fields_keep_their_live_value_or_are_left_to_others() -> None:
    fields = [
        {"manager": "me", "fieldsV1": {"f:data": {"f:a": {}}}},
        {"manager": "you", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
    ]
    live: Properties = {"data": {"a": "live"}, "spec": {"replicas": 7}, "metadata": {"managedFields": fields}}
    inputs: Properties = {"data": {"a": "wish"}, "spec": {"replicas": 1, "paused": True}}
    sent = without_ignored(inputs, live, ["data", "spec.replicas", "spec.missing.more", "list[0]"], "me")
    assert sent == {"data": {"a": "live"}, "spec": {"paused": True}}
