"""The life of our copies in a simulated run: started, claimed, active, ended, their GPUs free again."""

from __future__ import annotations

import math
from dataclasses import replace

from app.gepetto.decision.intents import Launch
from app.gepetto.simulator.chance import CLAIM_SHARE, LONGEST_START, SHORTEST_START
from app.gepetto.simulator.ledger import Copy
from app.gepetto.simulator.scenario import HOUR
from app.gepetto.simulator.state import VALIDATOR, Draw, EventKind, State
from app.gepetto.world.views import DeploymentState, DeploymentView


class Copies:
    """Starts and ends copies. `cached_start_factor` shortens a start on a server that has the model."""

    def __init__(self, state: State, cached_start_factor: float) -> None:
        self.state, self.cached_start_factor = state, cached_start_factor
        self._started: dict[int, int] = {}
        self._number = 0

    def start(self, intent: Launch, chute: int, delay: float) -> None:
        """A launch that the validator permitted begins after `delay` seconds."""
        state = self.state
        row = int(intent.server_id[1:])
        number = self._started[chute] = self._started.get(chute, 0) + 1
        self._number += 1
        model = state.scenario.chutes[chute]
        copy = Copy(f"d-{self._number}", chute, row, intent.gpu_mask, model.gpu_count, state.now, number)
        state.copies[copy.id] = copy
        state.market.pending[chute] += 1
        copy.begins_at, copy.usual_seconds = state.now + delay, self._usual_seconds(copy)
        spread = SHORTEST_START + (LONGEST_START - SHORTEST_START) * state.random(copy, Draw.START)
        seconds = delay + copy.usual_seconds * spread
        state.occupy(row, intent.gpu_mask)
        state.views[copy.id] = DeploymentView(
            copy.id, intent.chute_id, "1", intent.server_id, intent.gpu_mask, DeploymentState.LAUNCHED, state.now,
            state.now, VALIDATOR, public=model.public, preemptible=model.public,
        )  # fmt: skip
        failure_rate = state.market.rules.launch_failure + state.scenario.servers[row].failure_rate
        fails = state.random(copy, Draw.FAILURE) < failure_rate
        state.schedule.push(state.now + delay + CLAIM_SHARE * seconds, EventKind.CLAIM, copy.id)
        state.schedule.push(state.now + seconds, EventKind.END if fails else EventKind.ACTIVATE, copy.id)
        state.result.launches += 1
        state.dirty.add(chute)

    def _usual_seconds(self, copy: Copy) -> float:
        """Mean seconds of a start on that server, beside those that are under way there."""
        state, model = self.state, self.state.scenario.chutes[copy.chute]
        sharing = 1 + 0.5 * state.servers[copy.server].starts_in_progress
        cached = self.cached_start_factor if model.id in state.cached[copy.server] else 1.0
        return model.start_seconds * sharing * cached

    def claim(self, copy: Copy) -> None:
        """The pod has claimed its launch config: it is paid a little from now on."""
        state = self.state
        copy.claimed_at = copy.since = state.now
        copy.multiplier = state.market.multiplier(copy.chute, state.now)[1]
        state.views[copy.id] = replace(state.views[copy.id], state=DeploymentState.VERIFIED)

    def activate(self, copy: Copy) -> None:
        """The copy is ready; the validator may have no more use for it."""
        state, market = self.state, self.state.market
        if not market.admits(copy.chute):
            self.end(copy, by_validator=False)
            return
        copy.settle(state.now, state.ledger.warmup_pay)
        copy.multiplier, _ = market.multiplier(copy.chute, state.now)
        copy.activated_at, copy.bounty = state.now, bool(market.has_bounty[copy.chute])
        market.bounty_since[copy.chute] = math.inf
        market.pending[copy.chute] -= 1
        market.ours[copy.chute] += 1
        self._keep_model(copy)
        state.views[copy.id] = replace(
            state.views[copy.id],
            state=DeploymentState.ACTIVE,
            activated_at=state.now,
            since=state.now,
            multiplier=copy.multiplier,
        )
        self._plan_end(copy)
        state.dirty.add(copy.chute)
        state.schedule.wake()

    def _keep_model(self, copy: Copy) -> None:
        state, model = self.state, self.state.scenario.chutes[copy.chute]
        cached = state.cached[copy.server] = {**state.cached[copy.server], model.id: int(model.model_gb * 1e9)}
        state.started(copy.server)
        state.servers[copy.server] = replace(state.servers[copy.server], cached_chutes=cached)

    def _plan_end(self, copy: Copy) -> None:
        """A private chute goes idle after a while; any public copy may fail."""
        state, model = self.state, self.state.scenario.chutes[copy.chute]
        rules = state.market.rules
        if model.public:
            seconds = -math.log(max(state.random(copy, Draw.HAZARD), 1e-9)) / rules.failure_per_hour * HOUR
        else:
            busy = -math.log(max(state.random(copy, Draw.LIFE), 1e-9)) * model.busy_hours * HOUR
            seconds = max(rules.private_minimum_age, busy)
        state.schedule.push(state.now + seconds, EventKind.END, copy.id)

    def fail(self, copy: Copy) -> None:
        """Its time has come: a private chute goes idle (the validator's ending), or the pod fails."""
        idle = copy.activated_at is not None and not self.state.market.public[copy.chute]
        self.end(copy, by_validator=bool(idle))

    def end(self, copy: Copy, *, by_validator: bool) -> None:
        """The copy leaves the network at once; its GPUs follow when its pod has shut down."""
        state, market = self.state, self.state.market
        before, forfeited = copy.units, state.ledger.forfeited
        state.ledger.close(copy, state.now, by_validator=by_validator, public=bool(market.public[copy.chute]))
        state.hour_units += copy.units - before - (state.ledger.forfeited - forfeited)
        if copy.activated_at is None:
            market.pending[copy.chute] -= 1
            state.started(copy.server)
        else:
            market.ours[copy.chute] -= 1
        if not market.public[copy.chute] and market.active[copy.chute] == 0 and not market.has_bounty[copy.chute]:
            market.target[copy.chute] = 0
        del state.copies[copy.id], state.views[copy.id]
        gone = replace(copy, id=f"gone-{copy.id}", claimed_at=None)
        state.copies[gone.id] = gone
        state.dirty.add(copy.chute)
        state.schedule.push(state.now + market.rules.shutdown_seconds, EventKind.FREE, gone.id)

    def free(self, copy: Copy) -> None:
        """The pod of a copy that ended has gone."""
        del self.state.copies[copy.id]
        self.state.release(copy.server, copy.mask)
        self.state.schedule.wake()

    def free_at_once(self, copy: Copy) -> None:
        """The GPUs of a victim go to its successor, which waits for the shutdown itself."""
        gone = self.state.copies.pop(f"gone-{copy.id}")
        self.state.release(gone.server, gone.mask)
