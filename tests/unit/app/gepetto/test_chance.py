"""Chances of a start for a bounty, as the bound counts them: no policy wins more often or pays less (spec: 25.4)."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.gepetto.simulator.chance import (
    SHARES,
    after_losing,
    before_others,
    best_chance,
    ready,
    spent_seconds,
)
from app.gepetto.simulator.scenario import Market

seconds = st.floats(20, 3000)
rules = st.builds(
    Market,
    competitor_bounty_seconds=st.floats(100, 2000),
    launch_failure=st.floats(0, 0.5),
    soft_seconds=st.floats(30, 300),
)
chances = st.floats(0, 1)


def one(value: float) -> np.ndarray:
    return np.asarray([value])


@given(seconds, st.floats(1, 5), st.floats(0, 600), rules)
def test_no_start_wins_more_often_than_the_quickest_one_at_once(
    quickest: float, slower: float, late: float, market: Market
) -> None:
    best = before_others(one(quickest), market)[0]
    assert 0 <= before_others(one(quickest * slower), market, late)[0] <= best <= 1


@given(seconds, rules, st.integers(1, 4))
def test_starting_anew_after_each_failure_wins_no_more_often_than_the_best_chance(
    usual: float, market: Market, most: int
) -> None:
    """Exact, over all lengths of up to so many starts in a row."""
    kept, total, won = np.exp(-market.soft_seconds / market.competitor_bounty_seconds), np.zeros(1), 0.0
    for number in range(min(most, 3)):
        total = (total[:, None] + (SHARES * usual)[None, :]).ravel()
        # The others look at the whole moments themselves, which sums of floats miss by their last digits.
        in_time = float(np.mean(kept ** np.floor(total / market.soft_seconds + 1e-9)))
        won += market.launch_failure**number * (1 - market.launch_failure) * in_time
    assert won <= best_chance(one(usual), market)[0] + 1e-9


@given(chances, chances)
def test_tried_or_not_a_bounty_counts_for_the_best_chance_on_average(first: float, second: float) -> None:
    best, tried = max(first, second), min(first, second)
    left = after_losing(one(best), one(tried))[0]
    assert 0 <= left <= best
    assert abs(tried + (1 - tried) * left - best) < 1e-6


@given(seconds, rules)
def test_a_start_holds_its_gpus_no_longer_than_it_takes_and_no_less_than_until_others_look(
    usual: float, market: Market
) -> None:
    spent = spent_seconds(one(usual), market)[0]
    assert min(0.7 * usual, market.soft_seconds) * 0.999 <= spent <= usual * 1.001


@given(st.floats(20, 1500), st.floats(1, 4), st.builds(Market, competitor_bounty_seconds=st.floats(200, 2000)))
def test_a_copy_won_by_slower_starts_costs_more_and_its_warm_up_pay_is_not_worth_it(
    quickest: float, slower: float, market: Market
) -> None:
    """GPU seconds for each copy, and income for each start, in seconds at the full rate; the shortest life is 600 s."""
    quick, slow = one(quickest), one(quickest * slower)
    wins, fewer = float(before_others(quick, market)[0]), float(before_others(slow, market)[0])
    assert float(spent_seconds(quick, market)[0]) * fewer <= float(spent_seconds(slow, market)[0]) * wins + 1e-6
    pay = 0.3 * 0.7
    counted = wins * (600 + pay * (quickest + market.soft_seconds))
    assert fewer * (600 + pay * quickest * slower) <= counted + 1e-6


@given(seconds, seconds)
def test_a_start_is_over_in_time_with_a_chance_that_grows_from_nothing_to_certainty(
    usual: float, elapsed: float
) -> None:
    assert ready(one(0.69 * usual), one(usual))[0] == 0.0
    assert ready(one(1.31 * usual), one(usual))[0] == 1.0
    assert ready(one(elapsed), one(usual))[0] <= ready(one(elapsed + 10), one(usual))[0]
