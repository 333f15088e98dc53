"""What nobody could beat who cannot foresee: a linear program per hour over the room of a run (spec: gepetto 25.4).

Relaxed: copies may be fractional, move between hours at no cost and never fail, and a public one starts in no time. So
the true optimum is lower. What it does count: GPUs in whole servers, servers that are away, multipliers that copies
keep from earlier hours, the chance of winning a bounty (`room`), and the starts that winning one takes on average.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, vstack

from app.gepetto.simulator.chance import CLAIM_SHARE, before_others, spent_seconds
from app.gepetto.simulator.ledger import drifted
from app.gepetto.simulator.result import Floats, HourRoom, Result
from app.gepetto.simulator.scenario import HOUR, ChuteModel, Market, Scenario

#: A chute of so many GPUs fits on whole groups of so many in one server only.
_SIZES: Final = (1, 2, 4, 8)
#: After so many hours an active copy has the chute's multiplier and nothing of its own.
_DRIFT_HOURS: Final = 8


def hourly_bounds(scenario: Scenario, result: Result) -> list[float]:
    """Upper bound of the income of every hour of a run, in multiplier-hours."""
    kinds = sorted({server.gpu_type for server in scenario.servers})
    pairs = [(i, kinds.index(kind)) for i, c in enumerate(scenario.chutes) for kind in c.gpu_types if kind in kinds]
    chutes, types = (np.asarray(rows) for rows in zip(*pairs, strict=True))
    rates = _kept_rates(result.room)
    bounds = []
    for room, rate in zip(result.room, rates, strict=True):
        use = _gpu_use(scenario, room)
        limits = [_limit(use[chutes] * (types == kind), size, chutes, scenario) for size in _SIZES
                  for kind in range(len(kinds))]  # fmt: skip
        supply = [_supply(scenario, room, kind, size) for size in _SIZES for kind in kinds]
        of_chute = csr_array((np.ones(len(pairs)), (chutes, np.arange(len(pairs)))), (len(scenario.chutes), len(pairs)))
        solved = linprog(
            -(rate * _warm_up_pay(scenario, room))[chutes],
            A_ub=vstack([csr_array(np.asarray(limits)), of_chute]).tocsr(),
            b_ub=np.concatenate([supply, room.copies / room.ticks]),
            method="highs",
        )
        bounds.append(float(-solved.fun) if solved.success else float("nan"))
    return bounds


def _limit(use: Floats, size: int, chutes: np.ndarray, scenario: Scenario) -> Floats:
    """GPUs that chutes of at least that size take of one type."""
    gpus = np.asarray([scenario.chutes[i].gpu_count for i in chutes])
    return np.where(gpus >= size, use, 0.0)


def _supply(scenario: Scenario, room: HourRoom, kind: str, size: int) -> float:
    """GPUs of a type in groups of that size, as far as their servers were there."""
    there = room.there / room.ticks
    return float(sum(s.gpus // size * size * there[j] for j, s in enumerate(scenario.servers) if s.gpu_type == kind))


def _gpu_use(scenario: Scenario, room: HourRoom) -> Floats:
    """GPU-hours that one active copy-hour takes. Starts and shutdowns of a private copy come on top of its life.

    Every start for a bounty holds GPUs, and only some win: c seconds each at a chance of w make c / w for each copy
    that becomes active. Both are those of the quickest start, given up as soon as another miner wins; a slower one
    holds GPUs for longer and wins less often, so c / w is the least that a copy can cost.
    """
    market, starts = scenario.market, room.start_seconds
    wins = np.maximum(before_others(starts, market) * (1 - market.launch_failure), 1e-3)
    cost = (spent_seconds(starts, market) + market.shutdown_seconds) / wins
    found = [
        chute.gpu_count * (1.0 if chute.public else 1 + float(seconds) / _counted_seconds(chute, market))
        for chute, seconds in zip(scenario.chutes, cost, strict=True)
    ]
    return np.asarray(found)


def _counted_seconds(chute: ChuteModel, market: Market) -> float:
    """At most so many active seconds are counted for one private copy on average: its life, which is no shorter than
    the least age, and the time that the bounty would have stayed open once its start was over."""
    mean = chute.busy_hours * HOUR
    life = market.private_minimum_age + mean * float(np.exp(-market.private_minimum_age / mean))
    return life + market.competitor_bounty_seconds + market.soft_seconds


def _warm_up_pay(scenario: Scenario, room: HourRoom) -> Floats:
    """Factor on the income of a private copy, for what it was paid during its start; one that lost is not paid.

    Counted for each hour of the least mean life, with the mean of all starts: those that win are shorter. A slower
    start is paid for longer. Up to one run of the autoscaler that costs no chance, so it is counted; beyond, each
    further run costs more of a life than its pay is worth.
    """
    share = scenario.market.warmup_pay * (1 - CLAIM_SHARE)
    hours = [np.inf if chute.public else chute.busy_hours for chute in scenario.chutes]
    return np.asarray(1 + share * (room.start_seconds + scenario.market.soft_seconds) / HOUR / np.asarray(hours))


def _kept_rates(rooms: list[HourRoom]) -> list[Floats]:
    """Per hour, the highest multiplier that a copy of each chute can have, claimed then or earlier (drift of 21.6)."""
    best = [room.claimed.copy() for room in rooms]
    for first in range(len(rooms)):
        kept = rooms[first].claimed
        later = rooms[first + 1 : first + 1 + _DRIFT_HOURS]
        for hours, room in enumerate(later):  # it may have been claimed at the very end of the first hour
            share = 1.0 - drifted(1.0, 0.0, hours)
            kept = kept * (1 - share) + room.plain * share
            best[first + 1 + hours] = np.maximum(best[first + 1 + hours], kept)
    return best


def share_of_bound(scenario: Scenario, result: Result, *, skip_hours: int = 0) -> float:
    """Income as a share of the bound, without the first hours (steady state)."""
    bounds = hourly_bounds(scenario, result)
    hours = min(len(bounds), len(result.hourly))
    bound = sum(bounds[skip_hours:hours])
    return sum(result.hourly[skip_hours:hours]) / bound if bound else 1.0
