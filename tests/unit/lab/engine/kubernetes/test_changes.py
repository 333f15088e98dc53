"""Differences between manifests are told by path, and which of them need a new object."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.engine.kubernetes.changes import Change, Comparison, PropertyChange, merge_patch, path_text, reaches
from lab.engine.kubernetes.values import Unknown

JSON = st.recursive(
    st.one_of(st.booleans(), st.integers(-3, 3), st.text("ab", max_size=2)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abc", max_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)
MAPS = st.dictionaries(st.text("abc", max_size=1), JSON, max_size=3)
ADDED, UPDATED, DELETED = (PropertyChange(change) for change in (Change.ADD, Change.UPDATE, Change.DELETE))


def compare(old: dict[str, Any], new: dict[str, Any], *replacing: str) -> dict[str, PropertyChange]:
    return Comparison(replacing).changes(merge_patch(old, new), old, new, old)


@given(MAPS)
def test_equal_manifests_have_no_difference(manifest: dict[str, Any]) -> None:
    assert merge_patch(manifest, manifest) == {}


def applied(old: object, patch: object) -> object:
    """A merge patch as RFC 7386 applies it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = applied(result.get(key), value)
    return result


@given(MAPS, MAPS)
def test_a_patch_leads_from_the_old_manifest_to_the_new_one(old: dict[str, Any], new: dict[str, Any]) -> None:
    result = applied(old, merge_patch(old, new))
    assert merge_patch(new, result if isinstance(result, dict) else {}) == {}


@given(MAPS, MAPS)
def test_different_manifests_have_at_least_one_changed_path(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert bool(compare(old, new)) == bool(merge_patch(old, new))


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ({}, {"labels": {"a": "1", "b": "2"}}, {"labels": ADDED}),
        ({"labels": {"a": "1"}}, {"labels": {"a": "1", "b": "2"}}, {"labels.b": ADDED}),
        ({"labels": {"a": "1"}}, {}, {"labels": DELETED}),
        ({"verbs": ["get"]}, {"verbs": ["get", "list"]}, {"verbs[1]": ADDED}),
        ({"verbs": ["get", "list"]}, {"verbs": ["get"]}, {"verbs[1]": DELETED}),
        ({"c": [{"image": "1", "tty": True}]}, {"c": [{"image": "2"}]}, {"c[0].image": UPDATED, "c[0].tty": DELETED}),
        ({"n": 1}, {"n": 1.0}, {}),
        ({"n": 1}, {"n": True}, {"n": UPDATED}),
        ({"a": "1"}, {"a": Unknown()}, {"a": UPDATED}),
        ({}, {"a": Unknown()}, {"a": ADDED}),
        ({"a": [1]}, {"a": {"b": 1}}, {"a": UPDATED}),
    ],
)
def test_changes_are_told_property_by_property(
    old: dict[str, Any], new: dict[str, Any], changes: dict[str, PropertyChange]
) -> None:
    assert compare(old, new) == changes


def test_a_property_that_was_never_an_input_is_no_difference() -> None:
    comparison = Comparison(())
    assert comparison.changes({"clusterIP": "10.0.0.1"}, {"clusterIP": "10.0.0.2"}, {}, {}) == {}


def test_a_change_below_or_above_a_replacing_path_replaces() -> None:
    changes = compare(
        {"spec": {"selector": {"a": "1"}, "n": 1}}, {"spec": {"selector": {"a": "2"}, "n": 2}}, ".spec.selector"
    )
    assert changes["spec.selector.a"] == PropertyChange(Change.UPDATE, replaces=True)
    assert changes["spec.n"] == UPDATED
    assert compare({}, {"spec": {"selector": {}}}, ".spec.selector")["spec"].replaces
    assert not compare({}, {"spec": {"replicas": 1}}, ".spec.selector")["spec"].replaces


@pytest.mark.parametrize(
    ("path", "value", "matches"),
    [
        (("spec", "containers", 1, "image"), "x", True),
        (("spec", "containers", 1, "name"), "x", False),
        (("spec", "containers", 0), {"image": "x"}, True),
        (("spec", "containers"), [{"name": "x"}], False),
        (("spec",), {"containers": [{"name": "a"}, {"image": "b"}]}, True),
    ],
)
def test_a_star_stands_for_any_item_of_a_list(path: tuple[str | int, ...], value: object, matches: bool) -> None:
    assert reaches(path, value, ".spec.containers[*].image") is matches


def test_keys_with_dots_are_quoted() -> None:
    assert path_text(("metadata", "annotations", "pulumi.com/x")) == 'metadata.annotations["pulumi.com/x"]'
    assert path_text(("a", 'b"]', 0, "c")) == 'a["b\\"]"][0].c'
