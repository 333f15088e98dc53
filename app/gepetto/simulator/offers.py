"""What a bounty is worth on average to those who cannot foresee who wins it and how long it lives. Pure arithmetic.

A bounty counts by the best chance that anybody had when it was born, whoever won it in the run (spec: gepetto 25.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.gepetto.simulator.chance import CLAIM_SHARE, LONGEST_START, SHARES, SHORTEST_START, best_wins, spent_seconds
from app.gepetto.simulator.ledger import DRIFT_HOURS, drifted
from app.gepetto.simulator.market import bounty_factor
from app.gepetto.simulator.result import Bounty, Floats
from app.gepetto.simulator.scenario import HOUR, ChuteModel, Market


@dataclass(frozen=True)
class Offer:
    """One start for a bounty, by expectation.

    Attributes:
        copy_hours: active copy-hours by hour of the run.
        income: multiplier-hours by hour of the run.
        warm_up_income: multiplier-hours for the start itself, in the hour in which the bounty was born.
        start_hours: hours for which the start holds its GPUs.
        shutdown_hours: hours for which its shutdown holds them.
    """

    copy_hours: Floats
    income: Floats
    warm_up_income: float
    start_hours: float
    shutdown_hours: float


def offer(bounty: Bounty, chute: ChuteModel, market: Market, hours: int, late_seconds: float = 0.0) -> Offer:
    """What the best start for a bounty is worth that begins so late after its birth, up to hour `hours` of the run.

    Every start holds GPUs until it is over or another miner has won, and shuts down once. A slower start than the best
    is paid for longer: up to one run of the autoscaler that costs no chance, so it is counted; beyond, each further run
    costs more of a life than its pay is worth.
    """
    start, step = bounty.start_seconds, market.soft_seconds
    times = np.arange(bounty.born_at, hours * HOUR, step)
    ages = times - bounty.born_at
    wins = best_wins(start, market, late_seconds)
    lengths = SHARES * start + late_seconds
    copies = _alive(ages[:, None] - lengths[None, :], chute, market) @ wins
    rates = chute.base * _factors(ages - SHORTEST_START * start, bounty_factor(LONGEST_START * start + late_seconds))
    row = (times // HOUR).astype(np.int64)
    pay = market.warmup_pay * (1 - CLAIM_SHARE) * (start + step) / HOUR
    return Offer(
        np.asarray(np.bincount(row, copies * step / HOUR, hours), np.float64),
        np.asarray(np.bincount(row, copies * rates * step / HOUR, hours), np.float64),
        float(wins.sum()) * pay * chute.base,
        spent_seconds(start, market) / HOUR,
        market.shutdown_seconds / HOUR,
    )


def _alive(ages: Floats, chute: ChuteModel, market: Market) -> Floats:
    """Chance that a copy of that age has not gone idle; none of a negative age lives."""
    gone = np.exp(-np.maximum(ages, 0.0) / (chute.busy_hours * HOUR))
    return np.where(ages < market.private_minimum_age, 1.0, gone) * (ages >= 0)


def _factors(ages: Floats, claimed: float) -> Floats:
    """Factor on the plain multiplier of a copy at most that old that claimed a bounty of factor `claimed`."""
    left = [1.0]
    for hour in range(1, DRIFT_HOURS + 1):
        left.append(drifted(left[-1], 0.0, hour))
    hours = np.clip(ages // HOUR, 0, DRIFT_HOURS).astype(np.int64)
    return np.asarray(1 + (claimed - 1) * np.asarray(left)[hours])
