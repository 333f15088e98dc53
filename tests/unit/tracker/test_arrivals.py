"""Arrivals: whose seat it was, whether it was one's own, and what a seat that lasted cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tracker.arrivals import summarise
from tracker.classify import Certainty
from tracker.walkback import Registration, Walk

ARRIVALS = (
    Registration(1, 0, "x", 10, 100, "a"),
    Registration(2, 0, "other", 12, 1, None),
    Registration(1, 1, "y", 20, 110, "b"),
    Registration(1, 0, "z", 30, 120, "x"),
    Registration(1, 2, "late", 90, None, None),
)
OWNERS = {"a": "A", "b": "B", "x": "X", "y": "A", "z": "X"}
WALK = Walk(0, 100, ARRIVALS, frozenset())


def test_an_arrival_knows_both_sides_and_whether_it_is_ones_own() -> None:
    found = summarise(WALK, 1, {0: "a", 1: "b"}, OWNERS, immunity_blocks=20)
    assert [(row.coldkey, row.replaced_coldkey, row.is_own) for row in found.rows] == [
        ("X", "A", False),
        ("A", "B", False),  # A lost its only seat ten blocks before
        ("X", "X", True),
        ("late", None, False),
    ]
    assert found.self_replacement_share == 0.25
    assert found.new_coldkeys == 2
    assert found.certainty is Certainty.EXACT


def test_a_seat_that_outlived_its_immunity_carries_the_price_of_those_that_did_not() -> None:
    found = summarise(WALK, 1, {0: "a", 1: "b"}, OWNERS, immunity_blocks=20)
    assert (found.judged, found.outlived, found.spent_on_judged_rao, found.spent_rao) == (3, 2, 330, 330)
    assert found.rao_per_survivor == 165
    short = summarise(WALK, 1, {}, OWNERS, immunity_blocks=200)
    assert (short.judged, short.rao_per_survivor) == (0, None)


def test_rates_are_per_day_of_blocks() -> None:
    found = summarise(replace(WALK, until_block=3_600), 1, {}, OWNERS, immunity_blocks=20)
    assert found.per_day(len(found.rows)) == pytest.approx(8.0)
    assert summarise(Walk(5, 5, (), frozenset()), 1, {}, {}, 1).per_day(0) == 0.0


def test_a_range_without_arrivals_claims_no_share_and_a_shrunk_subnet_no_exactness() -> None:
    found = summarise(Walk(0, 10, (), frozenset({1})), 1, {0: "a"}, OWNERS, immunity_blocks=1)
    assert found.self_replacement_share is None
    assert found.certainty is Certainty.LOWER_BOUND
