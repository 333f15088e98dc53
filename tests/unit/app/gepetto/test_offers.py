"""What one start for a bounty is worth by expectation, against many drawn ones (spec: gepetto 21.5, 21.6, 25.4)."""

from __future__ import annotations

import numpy as np
import pytest

from app.gepetto.simulator.chance import SHARES
from app.gepetto.simulator.ledger import drifted
from app.gepetto.simulator.market import bounty_factor
from app.gepetto.simulator.offers import offer
from app.gepetto.simulator.result import Bounty
from app.gepetto.simulator.scenario import HOUR, Market
from tests.unit.app.gepetto.test_bound import chute

MARKET = Market(launch_failure=0.0)
BOUNTY = Bounty(0, 1.5 * HOUR, 300.0)


def drawn_copy_hours(hours: int, late_seconds: float, count: int = 40_000) -> np.ndarray:
    """By hour, what starts with drawn lengths, other miners and lives have on average."""
    rng = np.random.default_rng(7)
    starts = 300.0 * (0.7 + 0.6 * rng.random(count)) + late_seconds
    taken = MARKET.soft_seconds * rng.geometric(
        1 - np.exp(-MARKET.soft_seconds / MARKET.competitor_bounty_seconds), count
    )
    lives = np.maximum(MARKET.private_minimum_age, rng.exponential(1.0 * HOUR, count))
    begin = BOUNTY.born_at + starts
    end = np.where(starts < taken, begin + lives, begin)
    edges = np.arange(hours + 1) * HOUR
    inside = np.clip(end[:, None], edges[:-1], edges[1:]) - np.clip(begin[:, None], edges[:-1], edges[1:])
    return np.asarray(inside.mean(axis=0)) / HOUR


@pytest.mark.parametrize("late_seconds", [0.0, 60.0])
def test_copy_hours_are_those_of_drawn_starts_lives_and_other_miners(late_seconds: float) -> None:
    found = offer(BOUNTY, chute(0, 1, public=False), MARKET, 6, late_seconds)
    drawn = drawn_copy_hours(6, late_seconds)
    assert found.copy_hours[0] == 0.0
    assert found.copy_hours.sum() == pytest.approx(drawn.sum(), rel=0.03)
    assert found.copy_hours == pytest.approx(drawn, abs=0.02)


def test_a_later_start_is_worth_less() -> None:
    at_once, late = (offer(BOUNTY, chute(0, 1, public=False), MARKET, 6, seconds) for seconds in (0.0, 60.0))
    assert (late.copy_hours <= at_once.copy_hours + 1e-12).all()
    assert late.income.sum() < 0.95 * at_once.income.sum()


def test_a_start_that_may_fail_wins_less_often_but_not_by_all_of_its_failures_for_another_one_follows() -> None:
    failing = offer(BOUNTY, chute(0, 1, public=False), Market(launch_failure=0.2), 6)
    sure = offer(BOUNTY, chute(0, 1, public=False), MARKET, 6)
    assert 0.8 * sure.copy_hours.sum() < failing.copy_hours.sum() < 0.95 * sure.copy_hours.sum()


def test_the_income_is_the_claimed_multiplier_and_loses_its_bonus_with_the_hours() -> None:
    model = chute(0, 1, base=2.0, public=False)
    found = offer(Bounty(0, 0.0, 300.0), model, MARKET, 12)
    rates = found.income / found.copy_hours
    claimed = 2.0 * bounty_factor(1.3 * 300.0)
    assert rates[0] == pytest.approx(claimed)
    left = 1.0
    for hour in range(1, 9):
        left = drifted(left, 0.0, hour)
        assert rates[hour + 1] <= 2.0 + (claimed - 2.0) * left + 1e-9 or hour < 2
    assert rates[-1] == pytest.approx(2.0)


def test_a_start_holds_gpus_until_it_is_over_or_lost_and_shuts_down_once() -> None:
    found = offer(BOUNTY, chute(0, 1, public=False), MARKET, 6)
    kept = np.exp(-120 / 420)
    spent = np.mean([sum(kept ** (second // 120) for second in range(round(length))) for length in SHARES * 300.0])
    assert found.start_hours * HOUR == pytest.approx(spent, rel=0.005)
    assert found.shutdown_hours * HOUR == pytest.approx(60.0)
    assert found.warm_up_income == pytest.approx(float(best_share() * 0.3 * 0.7 * (300 + 120) / HOUR), rel=1e-6)


def best_share() -> float:
    kept = np.exp(-120 / 420)
    return float(np.mean(kept ** np.floor(SHARES * 300.0 / 120)))
