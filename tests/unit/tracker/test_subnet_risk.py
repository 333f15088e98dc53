"""Which subnet goes next, against hand-made answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.subnet_risk import SubnetStanding, SubnetStandings, subnet_pruning_order, subnet_risk_of

ROWS = (
    SubnetStanding(0, 0, 0.0),
    SubnetStanding(1, 10, 2.0),
    SubnetStanding(2, 30, 1.0),
    SubnetStanding(3, 20, 1.0),
    SubnetStanding(4, 95, 0.1),
)
STANDINGS = SubnetStandings(block=100, spec_version=461, immunity_blocks=50, limit=6, subnets=ROWS)


def test_subnets_are_pruned_by_price_then_age_and_never_while_immune() -> None:
    order, immune = subnet_pruning_order(ROWS, block=100, immunity_blocks=50)
    assert [one.netuid for one in order] == [3, 2, 1]
    assert [one.netuid for one in immune] == [4]


def test_a_subnets_risk_says_place_margin_and_free_places() -> None:
    found = subnet_risk_of(STANDINGS, 1)
    assert found is not None
    assert (found.position, found.of, found.margin, found.immune_blocks, found.free_places) == (3, 3, 2.0, 0, 2)


def test_an_immune_subnet_has_no_place_but_blocks_of_immunity() -> None:
    found = subnet_risk_of(STANDINGS, 4)
    assert found is not None
    assert (found.position, found.margin, found.immune_blocks) == (None, None, 45)


def test_root_is_never_pruned_and_an_unknown_subnet_has_no_risk() -> None:
    root = subnet_risk_of(STANDINGS, 0)
    assert root is not None
    assert (root.position, root.immune_blocks) == (None, 0)
    assert subnet_risk_of(STANDINGS, 9) is None


@given(
    st.lists(
        st.builds(
            SubnetStanding,
            netuid=st.integers(0, 20),
            registered_at=st.integers(0, 100),
            price_tao=st.sampled_from([0.0, 0.5, 1.0]),
        ),
        unique_by=lambda one: one.netuid,
    )
)
def test_taking_the_next_away_leaves_the_order_of_the_others(rows: list[SubnetStanding]) -> None:
    order, immune = subnet_pruning_order(rows, block=100, immunity_blocks=50)
    assert len(order) + len(immune) == sum(one.netuid != 0 for one in rows)
    if order:
        rest, _ = subnet_pruning_order([one for one in rows if one is not order[0]], block=100, immunity_blocks=50)
        assert rest == order[1:]


def test_prices_that_are_all_zero_give_no_margin() -> None:
    flat = SubnetStandings(100, 461, 0, 1, (SubnetStanding(1, 1, 0.0), SubnetStanding(2, 1, 0.0)))
    found = subnet_risk_of(flat, 1)
    assert found is not None
    assert found.margin is None
    assert found.free_places == pytest.approx(0)
