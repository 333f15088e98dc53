"""What a miner could have had in each hour of a run, written down for the bound (spec: gepetto 25.4). Changes nothing.

Other miners' copies, the validator's targets, and where models lay are those of the run.
"""

from __future__ import annotations

import numpy as np

from app.gepetto.simulator.market import bounty_factor
from app.gepetto.simulator.result import Bounty, Floats, HourRoom, Result
from app.gepetto.simulator.scenario import HOUR
from app.gepetto.simulator.state import State


class RoomBook:
    """Hours and bounties of one run, kept in its result. `cached_start_factor` shortens a start where the model is."""

    def __init__(self, result: Result, chutes: int, cached_start_factor: float) -> None:
        self.result, self.cached_start_factor = result, cached_start_factor
        self._within: Floats = np.zeros(chutes)
        self._wanted: Floats = np.zeros(chutes)
        self._ours: Floats = np.zeros(chutes)
        self._bounty_since: Floats = np.full(chutes, np.inf)

    def note(self, state: State) -> None:
        """Add the moment before a run of the autoscaler to its hour."""
        market, hours, hour = state.market, self.result.room, int(state.now // HOUR)
        while len(hours) <= hour:
            hours.append(HourRoom.empty(len(state.chutes), len(state.servers)))
        room = hours[hour]
        plain = market.base * market.boost
        bonus = [bounty_factor(state.now - since) if np.isfinite(since) else 1.0 for since in market.bounty_since]
        self._places(state, room)
        room.claimed = np.maximum(room.claimed, plain * bonus)
        if not room.ticks:
            room.refreshed = plain
        room.there += [view.healthy or view.free < view.gpu_total for view in state.servers]
        room.start_seconds = np.minimum(room.start_seconds, self._start_seconds(state))
        room.ticks += 1

    def note_bounties(self, state: State) -> None:
        """Add those that were born in the autoscaler's run that has just been."""
        since = state.market.bounty_since
        born = ~state.market.public & np.isfinite(since) & (since != self._bounty_since)
        if born.any():
            seconds = self._start_seconds(state)
            self.result.bounties += [Bounty(int(i), float(since[i]), float(seconds[i])) for i in np.flatnonzero(born)]
        self._bounty_since = since.copy()

    def _places(self, state: State, room: HourRoom) -> None:
        """Up to the target, less the others' copies; a copy too many goes slowly, a fifth per full run.

        A place becomes open where there is one more of them, and where a copy of ours is gone.
        """
        market = state.market
        wanted = np.where(market.public, np.maximum(market.target - market.rivals, 0), 0).astype(np.float64)
        full_run = state.now % market.rules.full_seconds < market.rules.soft_seconds
        excess = np.maximum(0.0, self._within - wanted)
        self._within = np.maximum(wanted, self._within - (np.ceil(excess / 5) if full_run else 0.0))
        more, lost = np.maximum(0.0, wanted - self._wanted), np.maximum(0.0, self._ours - market.ours)
        self._wanted, self._ours = wanted, market.ours.astype(np.float64)
        room.copies += self._within
        gone = float(lost[market.public].sum())
        room.opened += float(more.sum()) + gone
        room.gone += gone

    def _start_seconds(self, state: State) -> Floats:
        """Mean seconds of a start of each chute where its model lies, or anywhere."""
        lying = {name for models in state.cached for name in models}
        factor = self.cached_start_factor
        return np.asarray([c.start_seconds * (factor if c.id in lying else 1.0) for c in state.scenario.chutes])
