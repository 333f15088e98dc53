"""What Gepetto tells the cleaner of a node's chutes: all of them, or that all are to be left alone."""

from __future__ import annotations

import random
import uuid

from hypothesis import given
from hypothesis import strategies as st

from app.protocol.model_cache import EVERY_CHUTE, LONGEST_PROTECTION_BYTES, protected_by, protection_of

ids = st.lists(st.uuids().map(str), max_size=40)


@given(ids, st.randoms(use_true_random=False))
def test_what_gepetto_says_the_cleaner_understands(names: list[str], dice: random.Random) -> None:
    mixed = names * 2
    dice.shuffle(mixed)
    text = protection_of(mixed)
    assert protected_by(text) == frozenset(names)
    assert text == protection_of(names), "the order and the number of mentions change nothing"
    assert text == ",".join(sorted(set(names)))


def test_more_chutes_than_fit_protect_all_and_are_never_cut() -> None:
    fitting = (LONGEST_PROTECTION_BYTES + 1) // 37
    names = [str(uuid.UUID(int=number)) for number in range(fitting + 1)]
    assert len(protection_of(names[:-1])) <= LONGEST_PROTECTION_BYTES
    assert protected_by(protection_of(names[:-1])) == frozenset(names[:-1])
    assert protection_of(names) == EVERY_CHUTE


def test_an_id_that_a_list_cannot_say_protects_all() -> None:
    assert protection_of(["a,b"]) == EVERY_CHUTE


def test_spaces_and_empty_places_are_no_chutes() -> None:
    assert protected_by(" a, b ,,") == {"a", "b"}
    assert protected_by("") == frozenset()
    assert protection_of([]) == ""
