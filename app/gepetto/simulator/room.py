"""What a miner could have had in each hour of a run, written down for the bound (spec: gepetto 25.4). Changes nothing.

For those who cannot foresee: a bounty that another miner won counts by the chance that a start begun at once had.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from app.gepetto.simulator.market import Floats
from app.gepetto.simulator.result import HourRoom
from app.gepetto.simulator.scenario import HOUR
from app.gepetto.simulator.state import LONGEST_START, SHORTEST_START, State

#: Points at which a start's length is tried; the chance is their mean.
_POINTS: Final = 25


@dataclass
class RoomBook:
    """The hours of one run."""

    hours: list[HourRoom] = field(default_factory=list)
    _lingering: Floats = field(default_factory=lambda: np.zeros(0))

    def note(self, state: State, cached_start_factor: float) -> None:
        """Add the present moment."""
        market, hour = state.market, int(state.now // HOUR)
        count = len(state.chutes)
        while len(self.hours) <= hour:
            self.hours.append(HourRoom.empty(count, len(state.servers)))
        room = self.hours[hour]
        starts = _start_seconds(state, cached_start_factor)
        plain = market.base * market.boost
        age = np.where(market.has_bounty, state.now - np.where(market.has_bounty, market.bounty_since, 0.0), 0.0)
        bonus = np.where(market.has_bounty, 1.1 + 0.4 * np.minimum(1.0, age / (3 * HOUR)), 1.0)
        room.copies += np.where(market.public, self._public(state), _private(state, starts, age))
        room.claimed = np.maximum(room.claimed, plain * bonus)
        room.plain = np.maximum(room.plain, plain)
        room.there += [view.healthy or view.free < view.gpu_total for view in state.servers]
        room.start_seconds = np.minimum(room.start_seconds, starts)
        room.ticks += 1

    def _public(self, state: State) -> Floats:
        """Up to one beyond the target, less the others' copies; a copy too many goes slowly, a fifth per full run."""
        market = state.market
        wanted = np.maximum(market.target + 1 - market.rivals, market.ours).astype(np.float64)
        if not len(self._lingering):
            self._lingering = wanted
        full_run = state.now % market.rules.full_seconds < market.rules.soft_seconds
        excess = np.maximum(0.0, self._lingering - wanted)
        self._lingering = np.maximum(wanted, self._lingering - (np.ceil(excess / 5) if full_run else 0.0))
        return self._lingering


def _start_seconds(state: State, cached_start_factor: float) -> Floats:
    """Mean seconds of a start of each chute where its model lies, or anywhere."""
    lying = {name for models in state.cached for name in models}
    return np.asarray(
        [c.start_seconds * (cached_start_factor if c.id in lying else 1.0) for c in state.scenario.chutes]
    )


def _private(state: State, starts: Floats, age: Floats) -> Floats:
    """One copy where it is ours; under a bounty what a start begun at once would earn by now; else the chance lost."""
    market = state.market
    ready = np.clip((age / starts - SHORTEST_START) / (LONGEST_START - SHORTEST_START), 0.0, 1.0)
    waiting = market.rules.warmup_pay * (1 - ready) + ready
    lost = np.where(market.rivals > 0, win_chances(starts, state), 0.0)
    return np.where(market.ours > 0, 1.0, np.where(market.has_bounty, waiting, lost))


def win_chances(starts: Floats, state: State) -> Floats:
    """Chance that a start begun with the bounty is active before another miner is, and does not fail.

    The others take an open bounty at each run of the autoscaler with the same chance (`MarketState`).
    """
    rules = state.market.rules
    spread = SHORTEST_START + (LONGEST_START - SHORTEST_START) * (np.arange(_POINTS) + 0.5) / _POINTS
    runs = np.floor(np.outer(spread, starts) / rules.soft_seconds)
    chances = np.exp(-runs * rules.soft_seconds / rules.competitor_bounty_seconds).mean(axis=0)
    return np.asarray(chances * (1 - rules.launch_failure))
