"""Differences between inputs: full paths, no false ones, secrets as one piece."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from infra.provider.diff import Change, Difference, differences
from infra.provider.wire import Properties, secret

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text("ab", max_size=2))
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner), max_leaves=5
)
PROPERTIES: st.SearchStrategy[Properties] = st.dictionaries(st.sampled_from("abc"), VALUES)


@settings(max_examples=50, deadline=None)
@given(PROPERTIES)
def test_equal_properties_have_no_difference(properties: Properties) -> None:
    assert list(differences(properties, properties)) == []


@settings(max_examples=50, deadline=None)
@given(PROPERTIES, PROPERTIES)
def test_unequal_properties_have_one(old: Properties, new: Properties) -> None:
    assert bool(list(differences(old, new))) == (old != new)


@settings(max_examples=50, deadline=None)
@given(PROPERTIES, PROPERTIES)
def test_turning_the_sides_turns_additions_into_deletions(old: Properties, new: Properties) -> None:
    turned = {Change.ADD: Change.DELETE, Change.DELETE: Change.ADD, Change.UPDATE: Change.UPDATE}
    there = [(item.path, turned[item.change]) for item in differences(old, new)]
    assert there == [(item.path, item.change) for item in differences(new, old)]


def test_paths_are_full() -> None:
    old: Properties = {"base": {"files": [{"path": "/a", "content": "x"}], "packages": ["a"]}}
    new: Properties = {"base": {"files": [{"path": "/a", "content": "y"}], "packages": ["a", "b"]}, "port": 22}
    assert list(differences(old, new)) == [
        Difference("base.files[0].content", Change.UPDATE),
        Difference("base.packages[1]", Change.ADD),
        Difference("port", Change.ADD),
    ]


def test_a_secret_is_one_piece() -> None:
    assert list(differences({"key": secret("a")}, {"key": secret("b")})) == [Difference("key", Change.UPDATE)]
