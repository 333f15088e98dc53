"""The wire form: markers survive, unknowns are found at any depth, partial states can be read back."""

from __future__ import annotations

from pulumi.runtime.proto import provider_pb2, status_pb2

from infra.provider.wire import (
    UNKNOWN,
    Properties,
    decode,
    encode,
    has_unknown,
    init_failed_status,
    is_secret,
    plain_properties,
    secret,
)


def test_properties_survive_the_wire_with_their_markers() -> None:
    properties: Properties = {"a": [1, {"b": secret("s")}], "c": None, "d": UNKNOWN}
    assert decode(encode(properties)) == properties


def test_plain_values_have_no_markers_at_any_depth() -> None:
    nested: Properties = {"a": secret({"b": [secret("x")]}), "c": [secret(1)]}
    assert plain_properties(nested) == {"a": {"b": ["x"]}, "c": [1]}


def test_unknowns_are_found_at_any_depth() -> None:
    assert has_unknown({"a": [{"b": secret(UNKNOWN)}]})
    assert not has_unknown({"a": [{"b": secret("known")}]})


def test_only_marked_values_are_secret() -> None:
    assert is_secret(secret("x"))
    assert not is_secret({"value": "x"})


def test_a_partial_state_can_be_read_back() -> None:
    raw = init_failed_status("gpu-0", {"drift": ["x"]}, {"name": "gpu-0"}, ["it failed"], refresh_before_update=True)
    status = status_pb2.Status.FromString(raw)
    failure = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(failure)
    assert (failure.id, list(failure.reasons)) == ("gpu-0", ["it failed"])
    assert decode(failure.properties) == {"drift": ["x"]}
    assert failure.refresh_before_update
