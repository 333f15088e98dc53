"""Differences and mistakes of commands, beyond what was recorded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime.proto.provider_pb2 import DiffResponse, PropertyDiff

from lab.engine.command.changes import diff, outputs_stay
from lab.engine.command.inputs import mistakes_in
from lab.engine.kubernetes.values import Secret, Unknown

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab.", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)
PROPERTIES = st.dictionaries(st.sampled_from(["create", "stdin", "triggers", "environment"]), VALUES)


@given(PROPERTIES)
def test_nothing_differs_from_itself(inputs: dict[str, object]) -> None:
    assert diff(inputs, inputs) == DiffResponse(changes=DiffResponse.DIFF_NONE, hasDetailedDiff=True)
    assert outputs_stay(inputs, inputs)


@given(PROPERTIES, PROPERTIES)
def test_every_difference_has_a_path_below_its_property(old: dict[str, object], new: dict[str, object]) -> None:
    answer = diff(old, new)
    assert (answer.changes == DiffResponse.DIFF_SOME) == (old != new)
    for name in answer.diffs:
        assert any(path == name or path.startswith((f"{name}.", f"{name}[")) for path in answer.detailedDiff)
    assert set(answer.replaces) <= {"triggers"}


def test_adding_all_triggers_replaces() -> None:
    answer = diff({"create": "x"}, {"create": "x", "triggers": [1]})
    assert answer.detailedDiff["triggers"].kind == PropertyDiff.ADD_REPLACE
    assert list(answer.replaces) == ["triggers"]


def test_a_key_with_a_dot_is_quoted() -> None:
    answer = diff({"environment": {"a.b": "1"}}, {"environment": {"a.b": "2"}})
    assert list(answer.detailedDiff) == ['environment["a.b"]']


def test_unknown_and_secret_values_are_no_mistakes() -> None:
    inputs = {"create": Secret("x"), "environment": {"A": Unknown()}, "stdin": Unknown(), "interpreter": [Secret("sh")]}
    assert mistakes_in(inputs) == []


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ({"interpreter": ["sh", 1]}, "interpreter[1]"),
        ({"addPreviousOutputInEnv": "yes"}, "addPreviousOutputInEnv"),
        ({"environment": "A=1"}, "environment"),
        ({"dir": Secret(["x"])}, "dir"),
    ],
)
def test_a_mistake_names_its_property(inputs: dict[str, object], name: str) -> None:
    (mistake,) = mistakes_in(inputs)
    assert mistake.property == name
