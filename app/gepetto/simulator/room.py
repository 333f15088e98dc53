"""What a miner could have had in each hour of a run, written down for the bound (spec: gepetto 25.4). Changes nothing.

For those who cannot foresee: a bounty that another miner won counts by the chance that the best start had, less what a
start of ours that lost has used up of it (`chance`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from app.gepetto.simulator.chance import after_losing, before_others, best_chance, ready
from app.gepetto.simulator.result import Floats, HourRoom
from app.gepetto.simulator.scenario import HOUR
from app.gepetto.simulator.state import State


class Tries:
    """Our starts for the bounties of each chute that began before anybody else could have won; 0 where there was none.

    A later one, or a second one, is not counted, so that what is left of the chance is rather too much than too little.
    """

    def __init__(self, count: int) -> None:
        self.chances: Floats = np.zeros(count)
        self.ready: Floats = np.zeros(count)
        self._since: Floats = np.full(count, np.nan)

    def look(self, state: State) -> None:
        """Take in new bounties, and the starts that are under way; `ready` is the chance that they were over by now."""
        market = state.market
        born = market.has_bounty & (market.bounty_since != self._since)
        self._since = np.where(born, market.bounty_since, self._since)
        self.chances = np.where(born, 0.0, self.chances)
        self.ready = np.zeros(len(self.ready))
        for view in state.views.values():
            if not view.public and not view.active:
                self._start(state, view.id)

    def _start(self, state: State, copy_id: str) -> None:
        market, copy = state.market, state.copies[copy_id]
        chute, rules = copy.chute, state.market.rules
        late = copy.begins_at - self._since[chute]
        if not market.has_bounty[chute] or not 0 <= late < rules.soft_seconds:
            return
        usual = np.asarray([copy.usual_seconds])
        failure = rules.launch_failure + state.scenario.servers[copy.server].failure_rate
        self.chances[chute] = float(before_others(usual, rules, late)[0]) * max(0.0, 1 - failure)
        self.ready[chute] = float(ready(np.asarray([state.now - copy.begins_at]), usual)[0])


@dataclass
class RoomBook:
    """The hours of one run."""

    hours: list[HourRoom] = field(default_factory=list)
    _lingering: Floats = field(default_factory=lambda: np.zeros(0))
    _tries: Tries = field(default_factory=lambda: Tries(0))

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
        room.copies += np.where(market.public, self._public(state), self._private(state, starts, age))
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

    def _private(self, state: State, starts: Floats, age: Floats) -> Floats:
        """One active copy where it is ours; else the chance that the best start would have made one by now."""
        market = state.market
        if len(self._tries.chances) != len(starts):
            self._tries = Tries(len(starts))
        self._tries.look(state)
        waiting = after_losing(ready(age, starts), self._tries.ready)
        lost = np.where(market.rivals > 0, after_losing(best_chance(starts, market.rules), self._tries.chances), 0.0)
        return np.where(market.ours > 0, 1.0, np.where(market.has_bounty, waiting, lost))


def _start_seconds(state: State, cached_start_factor: float) -> Floats:
    """Mean seconds of a start of each chute where its model lies, or anywhere."""
    lying = {name for models in state.cached for name in models}
    return np.asarray(
        [c.start_seconds * (cached_start_factor if c.id in lying else 1.0) for c in state.scenario.chutes]
    )
