"""Chances and costs of a start for a bounty that other miners may take first (spec: gepetto 25.4). Pure arithmetic.

Of a bounty that is born at 0, other miners take what is still open at every run of the autoscaler with the same chance
(`MarketState`). A start takes `SHORTEST_START` to `LONGEST_START` of its usual seconds, all shares as likely.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from app.gepetto.simulator.result import Floats
from app.gepetto.simulator.scenario import Market

#: A start takes this share of its chute's usual time, at least and at most, before neighbours slow it down.
SHORTEST_START: Final = 0.7
LONGEST_START: Final = 1.3
#: After this share of a start its pod claims its launch config, and is paid a little.
CLAIM_SHARE: Final = 0.3
#: Points at which a start's length is tried; a chance is their mean.
_POINTS: Final = 25
SHARES: Final = SHORTEST_START + (LONGEST_START - SHORTEST_START) * (np.arange(_POINTS) + 0.5) / _POINTS


def before_others(usual_seconds: float, rules: Market, late_seconds: float = 0.0) -> Floats:
    """For each length in `SHARES`, the chance that a start that begins so late is over before another miner's copy."""
    runs = np.floor((SHARES * usual_seconds + late_seconds) / rules.soft_seconds)
    return np.asarray(_kept(rules) ** runs)


def best_wins(usual_seconds: float, rules: Market, late_seconds: float = 0.0) -> Floats:
    """The most that anybody can hope to win, by the length of the start that wins; together, the best chance.

    That is a start at once, and another one at once after each that fails. With p the chance of one start to be over in
    time and f that of its failure, the k-th start must be over in time after k - 1 that failed. Others look no less
    often in a sum of times than in its parts, so that all k together are in time with a chance of at most p^k:
    (1-f) p + f (1-f) p^2 + ... = (1-f) p / (1-fp). Waiting only lets others look.
    """
    in_time, failure = before_others(usual_seconds, rules, late_seconds), rules.launch_failure
    return np.asarray((1 - failure) * in_time / _POINTS / (1 - failure * float(in_time.mean())))


def spent_seconds(usual_seconds: float, rules: Market) -> float:
    """Mean seconds for which a start holds its GPUs, if it is given up in the moment in which another miner wins."""
    seconds, kept = SHARES * usual_seconds, _kept(rules)
    runs = np.floor(seconds / rules.soft_seconds)
    whole = rules.soft_seconds * (1 - kept**runs) / (1 - kept)
    return float((whole + (seconds - runs * rules.soft_seconds) * kept**runs).mean())


def _kept(rules: Market) -> float:
    """Chance that a bounty is still open after one run of the autoscaler."""
    return float(np.exp(-rules.soft_seconds / rules.competitor_bounty_seconds))
