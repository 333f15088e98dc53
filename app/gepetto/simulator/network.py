"""What happens around our copies in a simulated run: autoscaler, rolling updates, lost servers, hourly books."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.gepetto.simulator.copies import Copies
from app.gepetto.simulator.ledger import drifted
from app.gepetto.simulator.market import Booleans
from app.gepetto.simulator.room import RoomBook
from app.gepetto.simulator.scenario import HOUR
from app.gepetto.simulator.state import Draw, EventKind, State

#: Disturbances of servers, and the stream that picks whom they hit.
_SERVER_DISTURBANCES = (("flap", 11), ("server", 13))
_CHUTES_STREAM, _ROLLING_STREAM = 3, 5


class Network:
    """The simulated validator's side of a run."""

    def __init__(self, state: State, copies: Copies) -> None:
        self.state, self.copies = state, copies
        self.book = RoomBook(state.result, len(state.chutes), copies.cached_start_factor)

    def tick(self) -> None:
        """One run of the autoscaler; chutes whose numbers moved are looked at again."""
        state, market = self.state, self.state.market
        self._account(market.rules.soft_seconds)
        before = (market.target.copy(), market.rivals.copy(), market.boost.copy(), market.has_bounty.copy())
        load = np.floor(market.utilization * 10)
        ending = market.step(state.now)
        self.book.note_bounties(state)
        for chute in ending:
            self._scale_down(chute)
        moved = (before[0] != market.target) | (before[1] != market.rivals) | (before[2] != market.boost)
        moved |= (before[3] != market.has_bounty) | market.has_bounty | (load != np.floor(market.utilization * 10))
        state.dirty.update(int(i) for i in np.flatnonzero(moved))
        self._rolling()
        self._server_health()
        if state.dirty:
            state.schedule.wake()
        state.schedule.push(state.now + market.rules.soft_seconds, EventKind.TICK)

    def _scale_down(self, chute: int) -> None:
        """The validator ends one of our copies, drawn by lot; that is paid, however young it is."""
        state = self.state
        running = [copy for copy in state.running() if copy.chute == chute]
        self.copies.end(min(running, key=lambda copy: state.random(copy, Draw.PICK)), by_validator=True)

    def _rolling(self) -> None:
        state, market = self.state, self.state.market
        wave = market.disturbed("rolling", state.now)
        if wave is None:
            return
        count = len(state.chutes)
        hit = market.affected(wave, count, _CHUTES_STREAM)
        chance = market.rules.soft_seconds / (wave.end - wave.start) * 2
        draw = np.random.default_rng([state.scenario.seed, int(state.now), _ROLLING_STREAM]).random(count)
        for copy in state.running():
            if hit[copy.chute] and (copy.activated_at or 0.0) < wave.start and draw[copy.chute] < chance:
                self.copies.end(copy, by_validator=True)

    def _server_health(self) -> None:
        state, market = self.state, self.state.market
        for kind, salt in _SERVER_DISTURBANCES:
            if not any(d.kind == kind for d in state.scenario.disturbances):
                continue
            event = market.disturbed(kind, state.now)
            count = len(state.servers)
            hit = market.affected(event, count, salt) if event else np.zeros(count, bool)
            if kind == "server":
                self._lose_copies(hit)
            for row, view in enumerate(state.servers):
                if view.healthy == bool(hit[row]):
                    state.servers[row] = replace(view, healthy=not hit[row])
                    state.schedule.wake()

    def _lose_copies(self, hit: Booleans) -> None:
        """A server that is lost takes its copies with it, unpaid where they were too young."""
        state = self.state
        for row, view in enumerate(state.servers):
            if hit[row] and view.healthy:
                for copy in [state.copies[name] for name in list(state.views) if state.copies[name].server == row]:
                    self.copies.end(copy, by_validator=False)

    def hourly(self) -> None:
        """Multipliers drift once an hour; the hour's numbers are written down."""
        state = self.state
        for copy in state.running():
            before = copy.units
            copy.settle(state.now, state.ledger.warmup_pay)
            state.hour_units += copy.units - before
            _, target = state.market.multiplier(copy.chute, state.now)
            fresh = drifted(copy.multiplier, target, (state.now - (copy.activated_at or 0.0)) / HOUR)
            if fresh != copy.multiplier:
                copy.multiplier = fresh
                state.views[copy.id] = replace(state.views[copy.id], multiplier=fresh)
        state.result.hourly.append(state.hour_units)
        state.hour_units = 0.0
        state.schedule.push(state.now + HOUR, EventKind.HOURLY)

    def _account(self, seconds: float) -> None:
        """Rivals' income, and our idle GPUs by cause."""
        state, market, result = self.state, self.state.market, self.state.result
        result.rival_units += float((market.rivals * market.base * market.boost).sum()) * seconds / HOUR
        free = {"no_room_or_fit": 0.0, "starting": 0.0, "unhealthy": 0.0}
        for view in state.servers:
            free["no_room_or_fit" if view.healthy else "unhealthy"] += view.free
        free["starting"] = float(sum(view.gpu_count for view in state.views.values() if not view.active))
        hour = int(state.now // HOUR)
        for cause, gpus in free.items():
            result.idle[cause] = result.idle.get(cause, 0.0) + gpus * seconds / HOUR
            line = result.idle_hourly.setdefault(cause, [])
            line += [0.0] * (hour + 1 - len(line))
            line[hour] += gpus * seconds / HOUR
        if result.filled_at is None and free["no_room_or_fit"] <= 0.1 * state.scenario.gpus:
            result.filled_at = state.now
        self.book.note(state)
