"""Discrete events around the real decision and safety gate. Equal scenarios, equal runs (spec: gepetto 25.1)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.decide import decide
from app.gepetto.decision.gate import Spent, pass_gate
from app.gepetto.decision.intents import Intent, Launch, Swap, Terminate
from app.gepetto.decision.memory import Memory
from app.gepetto.simulator.copies import Copies
from app.gepetto.simulator.ledger import Copy
from app.gepetto.simulator.market import MarketState
from app.gepetto.simulator.network import Network
from app.gepetto.simulator.result import Result
from app.gepetto.simulator.scenario import HOUR, Scenario
from app.gepetto.simulator.state import EventKind, State
from app.gepetto.strategies import Strategy
from app.gepetto.world.snapshot import Snapshot, SourceName
from app.gepetto.world.views import Source

_SOURCES: Final = tuple(name.value for name in SourceName)
REFUSED_SECONDS: Final = 60.0
OUTAGE_SECONDS: Final = 60.0


class Simulation:
    """One miner with one strategy in one scenario.

    Args:
        scenario: fleet, chutes, market.
        configuration: Gepetto's; warm-ups are off here, because the simulator has no network of its own.
        strategy: instead of the configured one.
        decide_seconds: least time between two decisions.
        market: a recorded one, of the same scenario; default: the made-up one.
        progress: told the simulated moment now and then.
    """

    def __init__(
        self,
        scenario: Scenario,
        configuration: Configuration,
        strategy: Strategy | None = None,
        *,
        decide_seconds: float = 5.0,
        market: MarketState | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.strategy, self.progress = strategy, progress
        quiet = configuration.warm_up.model_copy(update={"enabled": False})
        self.configuration = configuration.model_copy(update={"warm_up": quiet})
        name = strategy.name if strategy is not None else configuration.strategy.value
        self.state = State(scenario, name, decide_seconds, market or MarketState(scenario))
        self.copies = Copies(self.state, configuration.value.cached_start_factor)
        self.network = Network(self.state, self.copies)
        self.memory, self.spent = Memory(), Spent()

    def run(self) -> Result:
        """Simulate to the end and settle."""
        state, schedule = self.state, self.state.schedule
        schedule.push(0.0, EventKind.TICK)
        schedule.push(HOUR, EventKind.HOURLY)
        while (event := schedule.pop(state.scenario.seconds)) is not None:
            self._handle(*event)
        schedule.now = state.scenario.seconds
        for copy in [state.copies[name] for name in state.views]:
            state.ledger.close(copy, state.now, by_validator=True, public=bool(state.market.public[copy.chute]))
        result = state.result
        result.units, result.forfeited = state.ledger.paid, state.ledger.forfeited
        result.forfeited_copies = state.ledger.forfeited_copies
        result.gpu_hours = state.scenario.gpus * state.scenario.seconds / HOUR
        result.validator_calls = state.market.calls
        return result

    def _handle(self, kind: EventKind, subject: str) -> None:
        if kind is EventKind.TICK:
            self.network.tick()
            if self.progress is not None:
                self.progress(self.state.now)
        elif kind is EventKind.HOURLY:
            self.network.hourly()
        elif kind is EventKind.DECIDE:
            self._decide()
        elif subject in self.state.copies:
            {
                EventKind.CLAIM: self.copies.claim,
                EventKind.ACTIVATE: self.copies.activate,
                EventKind.END: self.copies.fail,
                EventKind.FREE: self.copies.free,
            }[kind](self.state.copies[subject])

    def _decide(self) -> None:
        state, schedule = self.state, self.state.schedule
        schedule.last_decision = state.now
        if state.market.disturbed("outage", state.now) is not None:
            schedule.wake(OUTAGE_SECONDS)
            return
        for chute in state.dirty:
            state.chutes[chute] = state.chute_view(chute)
        state.dirty.clear()
        snapshot = self._snapshot()
        began = time.perf_counter()
        wanted, self.memory = decide(snapshot, self.configuration, self.memory, self.strategy)
        allowed, _, self.spent = pass_gate(snapshot, wanted, self.configuration, self.spent)
        state.result.decision_seconds += time.perf_counter() - began
        state.result.decisions += 1
        acted = sum(self._act(intent) for intent in allowed)
        if acted:
            schedule.wake(schedule.decide_seconds)
        elif state.refused:
            schedule.wake(max(schedule.decide_seconds, min(state.refused.values()) - state.now))
            state.refused = {chute: until for chute, until in state.refused.items() if until > state.now}

    def _snapshot(self) -> Snapshot:
        state = self.state
        return Snapshot(
            now=state.now,
            servers=tuple(state.servers),
            chutes=tuple(state.chutes),
            deployments=tuple(state.views.values()),
            sources=dict.fromkeys(_SOURCES, Source(state.now, complete=True)),
            seed=state.scenario.seed * 7919 + state.result.decisions,
        )

    def _act(self, intent: Intent) -> int:
        match intent:
            case Launch():
                return self._launch(intent)
            case Swap():
                return self._swap(intent)
            case Terminate():
                copy = self.state.copies.get(intent.deployment_id)
                if copy is not None:
                    self.copies.end(copy, by_validator=False)
                return 1
            case _:
                return 0

    def _launch(self, intent: Launch) -> int:
        chute = int(intent.chute_id[1:])
        if self._is_refused(chute):
            return 0
        self.copies.start(intent, chute, 1.0)
        return 1

    def _is_refused(self, chute: int) -> bool:
        state = self.state
        if not state.market.refuses(chute, state.now):
            return False
        state.result.refusals += 1
        state.refused[chute] = state.now + REFUSED_SECONDS
        state.dirty.add(chute)
        return True

    def _swap(self, intent: Swap) -> int:
        state, chute = self.state, int(intent.launch.chute_id[1:])
        if self._is_refused(chute):
            return 0
        victims = [state.copies[victim] for victim in intent.victims]
        state.result.violations += self._violations(victims, chute)
        state.result.swaps += 1
        state.result.swap_gain += intent.gain
        for victim in victims:
            self.copies.end(victim, by_validator=False)
            self.copies.free_at_once(victim)
        self.copies.start(intent.launch, chute, state.market.rules.shutdown_seconds)
        return 1

    def _violations(self, victims: list[Copy], chute: int) -> int:
        """Hard rules broken, judged by the simulator's own truth and not by the snapshot that the decision saw."""
        now, market = self.state.now, self.state.market
        broken = sum(1 for v in victims if v.activated_at is None or now - v.activated_at < HOUR)
        broken += sum(1 for v in victims if not market.public[v.chute] or v.chute == chute)
        for victim_chute in {v.chute for v in victims}:
            taken = sum(1 for v in victims if v.chute == victim_chute)
            broken += int(market.active[victim_chute] - taken < 1)
        broken += int(sum(v.multiplier for v in victims) >= market.multiplier(chute, now)[0])
        return broken
