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


def ready(elapsed: Floats, usual_seconds: Floats) -> Floats:
    """Chance that a start that began so many seconds ago is over by now."""
    share = (elapsed / usual_seconds - SHORTEST_START) / (LONGEST_START - SHORTEST_START)
    return np.asarray(np.clip(share, 0.0, 1.0))


def before_others(usual_seconds: Floats, rules: Market, late_seconds: float = 0.0) -> Floats:
    """Chance that a start that begins so late after the bounty is over before another miner has taken it."""
    runs = np.floor((np.outer(SHARES, usual_seconds) + late_seconds) / rules.soft_seconds)
    return np.asarray((_kept(rules) ** runs).mean(axis=0))


def best_chance(usual_seconds: Floats, rules: Market) -> Floats:
    """The most that anybody can hope to win: a start at once, and another one at once after each that fails.

    With p the chance of one start to be over in time and f that of its failure, the k-th start must be over in time
    after k - 1 that failed. Others look no less often in a sum of times than in its parts, so that all k together are
    in time with a chance of at most p^k: (1-f) p + f (1-f) p^2 + ... = (1-f) p / (1-fp). Waiting only lets others look.
    """
    in_time, failure = before_others(usual_seconds, rules), rules.launch_failure
    return np.asarray((1 - failure) * in_time / (1 - failure * in_time))


def spent_seconds(usual_seconds: Floats, rules: Market) -> Floats:
    """Mean seconds for which a start holds its GPUs, if it is given up in the moment in which another miner wins."""
    seconds, kept = np.outer(SHARES, usual_seconds), _kept(rules)
    runs = np.floor(seconds / rules.soft_seconds)
    whole = rules.soft_seconds * (1 - kept**runs) / (1 - kept)
    return np.asarray((whole + (seconds - runs * rules.soft_seconds) * kept**runs).mean(axis=0))


def after_losing(best: Floats, tried: Floats) -> Floats:
    """Chance that the best start would have won, where one that had the chance `tried` has lost.

    The best start is quicker and fails no more often, so it wins wherever the other one does: P(best) = P(tried) +
    (1 - P(tried)) P(best | tried lost). So a bounty that was tried counts for its chance on average, and not for more.
    """
    return np.asarray(np.clip((best - tried) / np.maximum(1 - tried, 1e-9), 0.0, 1.0))


def _kept(rules: Market) -> float:
    """Chance that a bounty is still open after one run of the autoscaler."""
    return float(np.exp(-rules.soft_seconds / rules.competitor_bounty_seconds))
