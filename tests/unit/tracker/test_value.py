"""Price against competition: dead subnets are marked and come last."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tracker.classify import Counts
from tracker.cost import SubnetCost
from tracker.ranking import SubnetTotals
from tracker.value import values

COST = SubnetCost(
    netuid=1,
    name="one",
    symbol="a",
    burn_rao=1_000,
    min_burn_rao=500,
    max_burn_rao=10_000,
    allowed=True,
    count=256,
    max_uids=256,
    immunity_blocks=4_096,
    half_life_blocks=360,
    multiplier=1.26,
    collateral_share=0.0,
    block=10,
    block_hash="0x0",
    timestamp=datetime(2026, 1, 1, tzinfo=UTC),
)


def totals(netuid: int, arrivals: int, **options: bool) -> SubnetTotals:
    counts = Counts(replaced=arrivals, true_replaced=arrivals)
    return SubnetTotals(netuid, 5, 3, 7_200, 256.0, counts, corrected=options.get("corrected", True))


def test_a_price_stands_beside_arrivals_and_the_days_that_it_buys() -> None:
    (row,) = values([COST], [totals(1, 64)])
    assert (row.registrations_per_day, row.days_bought, row.is_dead) == (64.0, 4.0, False)
    assert row.changes_per_day == 64.0


@pytest.mark.parametrize(
    ("cost", "arrivals", "dead"),
    [
        (replace(COST, burn_rao=500), 0, True),
        (replace(COST, burn_rao=500), 1, False),
        (COST, 0, False),
        (replace(COST, burn_rao=500, allowed=False), 0, False),
    ],
)
def test_dead_means_open_at_the_floor_and_nobody_comes(cost: SubnetCost, arrivals: int, dead: bool) -> None:
    assert values([cost], [totals(1, arrivals)])[0].is_dead is dead


def test_nothing_is_claimed_where_nothing_was_compared() -> None:
    never = SubnetTotals(1, 5, 0, 0, 256.0, Counts(), corrected=False)
    for known in ([], [never]):
        (row,) = values([COST], known)
        assert (row.changes_per_day, row.registrations_per_day, row.days_bought, row.is_dead) == (
            None,
            None,
            None,
            False,
        )


def test_without_registration_blocks_arrivals_are_unknown() -> None:
    (row,) = values([replace(COST, burn_rao=500)], [totals(1, 0, corrected=False)])
    assert (row.changes_per_day, row.registrations_per_day, row.is_dead) == (0.0, None, False)


def test_living_subnets_come_first_by_price_per_day_bought() -> None:
    costs = [
        replace(COST, netuid=netuid, burn_rao=rao) for netuid, rao in ((1, 1_000), (2, 500), (3, 4_000), (0, None))
    ]
    rows = values(costs, [totals(1, 64), totals(2, 0), totals(3, 8)])
    assert [row.netuid for row in rows] == [3, 1, 0, 2]
    assert rows[-1].is_dead
