"""Properties survive the way over the wire; secrets stay secret where they were."""

from __future__ import annotations

from google.protobuf import json_format, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from lab.engine.kubernetes.values import (
    UNKNOWN_TEXT,
    Properties,
    Secret,
    Unknown,
    contains_secret,
    contains_unknown,
    decode,
    encode,
    plain,
    with_secrets_of,
)

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**50), 2**50),
    st.sampled_from([0.5, -2.25, 1e-9]),
    st.text("aé0", max_size=3),
    st.just(Unknown()),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3),
        inner.map(Secret),
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1), VALUES, max_size=3))
def test_what_is_encoded_is_decoded_again(properties: dict[str, object]) -> None:
    assert decode(encode(properties)) == properties


def test_the_wire_form_is_the_one_of_the_protocol() -> None:
    struct = encode({"password": Secret("x"), "later": Unknown(), "count": 3})
    assert json_format.MessageToDict(struct) == {
        "password": {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": "x"},
        "later": UNKNOWN_TEXT,
        "count": 3.0,
    }


def test_whole_numbers_are_integers_after_decoding() -> None:
    struct = struct_pb2.Struct()
    struct.update({"replicas": 2, "share": 0.5})
    decoded = decode(struct)
    assert decoded == {"replicas": 2, "share": 0.5}
    assert isinstance(decoded["replicas"], int)


def test_secret_and_unknown_values_are_found_at_any_depth() -> None:
    assert contains_secret({"a": [{"b": Secret(1)}]})
    assert contains_unknown({"a": [Secret({"b": Unknown()})]})
    assert not contains_unknown({"a": [Secret("b")]})
    assert plain({"a": [Secret({"b": Secret(1)})]}) == {"a": [{"b": 1}]}


def test_only_the_marked_place_becomes_secret_but_a_list_as_a_whole() -> None:
    marked = {"env": [Secret("x"), "y"], "spec": {"token": Secret("t"), "size": 1}}
    live: Properties = {"env": ["x", "y"], "spec": {"token": "t", "size": 1, "extra": 2}, "status": {}}
    assert with_secrets_of(live, marked) == {
        "env": Secret(["x", "y"]),
        "spec": {"token": Secret("t"), "size": 1, "extra": 2},
        "status": {},
    }


def test_data_of_a_kubernetes_secret_is_always_secret() -> None:
    live: Properties = {"kind": "Secret", "data": {"a": "eA=="}, "metadata": {"name": "n"}}
    assert with_secrets_of(live, {}) == {**live, "data": Secret({"a": "eA=="})}
