"""Digests depend on what is known and on nothing else (spec: agent-monitor 20.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.channels import ResourceType
from app.protocol.digests import Digest, decode_digests, digest_of, encode_digests

_objects = st.sets(st.tuples(st.text(min_size=1, max_size=8), st.integers(1, 99).map(str)), max_size=8)


@given(_objects, _objects)
def test_order_and_history_do_not_matter(first: set[tuple[str, str]], second: set[tuple[str, str]]) -> None:
    digest = digest_of(first)
    for uid, version in second - first:
        digest = digest.with_object(uid, version)
    for uid, version in first - second:
        digest = digest.without(uid, version)
    assert digest == digest_of(second)


@given(_objects, _objects)
def test_different_knowledge_gives_different_digests(first: set[tuple[str, str]], second: set[tuple[str, str]]) -> None:
    assert (digest_of(first) == digest_of(second)) is (first == second)


@given(st.dictionaries(st.sampled_from(ResourceType), _objects.map(digest_of)))
def test_what_is_encoded_is_decoded(digests: dict[ResourceType, Digest]) -> None:
    assert decode_digests(encode_digests(digests)) == digests


@pytest.mark.parametrize(
    "text", ["", "pod", "pod=", "pod=1", "pod=x:00", "egg=1:00", "pod=1:zz", "pod=1:00,", "p" * 999]
)
def test_a_header_that_cannot_be_read_says_nothing(text: str) -> None:
    assert decode_digests(text) == {}
