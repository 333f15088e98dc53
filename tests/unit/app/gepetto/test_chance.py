"""Chances of a start for a bounty, as the bound counts them: no policy wins more often or pays less (spec: 25.4)."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.gepetto.simulator.chance import SHARES, before_others, best_wins, spent_seconds
from app.gepetto.simulator.scenario import Market

seconds = st.floats(20, 3000)
rules = st.builds(
    Market,
    competitor_bounty_seconds=st.floats(100, 2000),
    launch_failure=st.floats(0, 0.5),
    soft_seconds=st.floats(30, 300),
)


def chance(usual: float, market: Market, late: float = 0.0) -> float:
    return float(before_others(usual, market, late).mean())


@given(seconds, st.floats(1, 5), st.floats(0, 600), rules)
def test_no_start_wins_more_often_than_the_quickest_one_at_once(
    quickest: float, slower: float, late: float, market: Market
) -> None:
    assert 0 <= chance(quickest * slower, market, late) <= chance(quickest, market) <= 1


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
    assert won <= float(best_wins(usual, market).sum()) + 1e-9


@given(seconds, rules)
def test_a_start_holds_its_gpus_no_longer_than_it_takes_and_no_less_than_until_others_look(
    usual: float, market: Market
) -> None:
    spent = spent_seconds(usual, market)
    assert min(0.7 * usual, market.soft_seconds) * 0.999 <= spent <= usual * 1.001


@given(st.floats(20, 1500), st.floats(1, 4), st.builds(Market, competitor_bounty_seconds=st.floats(200, 2000)))
def test_a_copy_won_by_slower_starts_costs_more_and_its_warm_up_pay_is_not_worth_it(
    quickest: float, slower: float, market: Market
) -> None:
    """GPU seconds for each copy, and income for each start, in seconds at the full rate; the shortest life is 600 s."""
    slow = quickest * slower
    wins, fewer = chance(quickest, market), chance(slow, market)
    assert spent_seconds(quickest, market) * fewer <= spent_seconds(slow, market) * wins + 1e-6
    pay = 0.3 * 0.7
    counted = wins * (600 + pay * (quickest + market.soft_seconds))
    assert fewer * (600 + pay * slow) <= counted + 1e-6
