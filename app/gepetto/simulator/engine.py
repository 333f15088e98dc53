"""Discrete events around the real decision and safety gate. Equal scenarios, equal runs (spec: gepetto 25.1)."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final

import numpy as np

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.decide import decide
from app.gepetto.decision.gate import Spent, pass_gate
from app.gepetto.decision.intents import Intent, Launch, Swap, Terminate
from app.gepetto.decision.memory import Memory
from app.gepetto.simulator.ledger import Copy, Ledger, drifted
from app.gepetto.simulator.market import MarketState
from app.gepetto.simulator.scenario import HOUR, Scenario
from app.gepetto.strategies import Strategy
from app.gepetto.world.snapshot import Snapshot, SourceName
from app.gepetto.world.views import ChuteView, DeploymentState, DeploymentView, ServerView, Source

_SOURCES: Final = tuple(name.value for name in SourceName)
_VALIDATOR: Final = "simulated-validator"
REFUSED_SECONDS: Final = 60.0


class _Kind(IntEnum):
    TICK = 0
    HOURLY = 1
    CLAIM = 2
    ACTIVATE = 3
    END = 4
    FREE = 5
    DECIDE = 6


@dataclass
class Result:
    """What one run gave. Units are multiplier-hours; `hourly` is income earned per hour, paid or not yet."""

    strategy: str
    preset: str
    seed: int
    units: float = 0.0
    gpu_hours: float = 0.0
    rival_units: float = 0.0
    forfeited: float = 0.0
    forfeited_copies: int = 0
    launches: int = 0
    refusals: int = 0
    swaps: int = 0
    swap_gain: float = 0.0
    violations: int = 0
    decisions: int = 0
    decision_seconds: float = 0.0
    validator_calls: int = 0
    filled_at: float | None = None
    idle: dict[str, float] = field(default_factory=dict)
    hourly: list[float] = field(default_factory=list)
    idle_hourly: dict[str, list[float]] = field(default_factory=dict)
    caps: list[np.ndarray] = field(default_factory=list, repr=False)
    rates: list[np.ndarray] = field(default_factory=list, repr=False)

    @property
    def per_gpu_hour(self) -> float:
        return self.units / self.gpu_hours if self.gpu_hours else 0.0

    @property
    def share(self) -> float:
        """Our share of all income of the network."""
        total = self.units + self.rival_units
        return self.units / total if total else 0.0

    def deterministic(self) -> tuple[object, ...]:
        """Everything but the time that decisions took: equal for two runs of one scenario."""
        return (self.units, self.rival_units, self.forfeited, self.launches, self.refusals, self.swaps,
                self.violations, self.decisions, self.validator_calls, tuple(self.hourly))  # fmt: skip


class Simulation:
    """One miner with one strategy in one scenario.

    Args:
        scenario: fleet, chutes, market.
        configuration: Gepetto's; warm-ups are off here, because the simulator has no network of its own.
        strategy: instead of the configured one.
        decide_seconds: least time between two decisions.
        progress: told the simulated moment now and then.
    """

    def __init__(
        self,
        scenario: Scenario,
        configuration: Configuration,
        strategy: Strategy | None = None,
        *,
        decide_seconds: float = 5.0,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.scenario, self.strategy = scenario, strategy
        quiet = configuration.warm_up.model_copy(update={"enabled": False})
        self.configuration = configuration.model_copy(update={"warm_up": quiet})
        self.decide_seconds, self.progress = decide_seconds, progress
        self.market = MarketState(scenario)
        self.ledger = Ledger(scenario.market.warmup_pay)
        self.now = 0.0
        self.memory, self.spent = Memory(), Spent()
        name = strategy.name if strategy is not None else configuration.strategy.value
        self.result = Result(name, scenario.preset.value, scenario.seed)
        self.copies: dict[str, Copy] = {}
        self.views: dict[str, DeploymentView] = {}
        self.servers = [self._server_view(j) for j in range(len(scenario.servers))]
        self.cached: list[dict[str, int]] = [{} for _ in scenario.servers]
        self.refused: dict[int, float] = {}
        self.chutes = [self._chute_view(i) for i in range(len(scenario.chutes))]
        self._events: list[tuple[float, int, _Kind, str]] = []
        self._order = itertools.count()
        self._numbers = itertools.count()
        self._dirty: set[int] = set()
        self._decide_at: float | None = None
        self._last_decision = -1e9
        self._hour_units = 0.0

    # --- running

    def run(self) -> Result:
        """Simulate to the end and settle."""
        self._push(0.0, _Kind.TICK)
        self._push(HOUR, _Kind.HOURLY)
        while self._events and self._events[0][0] <= self.scenario.seconds:
            self.now, _, kind, subject = heapq.heappop(self._events)
            self._handle(kind, subject)
        self.now = self.scenario.seconds
        for copy in [self.copies[name] for name in self.views]:
            self.ledger.close(copy, self.now, by_validator=True, public=bool(self.market.public[copy.chute]))
        result = self.result
        result.units, result.forfeited = self.ledger.paid, self.ledger.forfeited
        result.forfeited_copies = self.ledger.forfeited_copies
        result.gpu_hours = self.scenario.gpus * self.scenario.seconds / HOUR
        result.validator_calls = self.market.calls
        return result

    def _push(self, at: float, kind: _Kind, subject: str = "") -> None:
        heapq.heappush(self._events, (at, next(self._order), kind, subject))

    def _handle(self, kind: _Kind, subject: str) -> None:
        if kind is _Kind.TICK:
            self._tick()
        elif kind is _Kind.HOURLY:
            self._hourly()
        elif kind is _Kind.DECIDE:
            if self._decide_at == self.now:  # an earlier wake-up may have replaced this one
                self._decide_at = None
                self._decide()
        elif subject in self.copies:
            {
                _Kind.CLAIM: self._claim,
                _Kind.ACTIVATE: self._activate,
                _Kind.END: self._fail,
                _Kind.FREE: self._free,
            }[kind](self.copies[subject])

    def _wake(self, delay: float = 0.0) -> None:
        at = max(self.now + delay, self._last_decision + self.decide_seconds)
        if self._decide_at is None or at < self._decide_at - 1e-9:
            self._decide_at = at
            self._push(at, _Kind.DECIDE)

    # --- the network

    def _tick(self) -> None:
        market = self.market
        self._account(market.rules.soft_seconds)
        before = (market.target.copy(), market.rivals.copy(), market.boost.copy(), market.has_bounty.copy())
        load = np.floor(market.utilization * 10)
        for chute in market.step(self.now):
            self._scale_down(chute)
        moved = (before[0] != market.target) | (before[1] != market.rivals) | (before[2] != market.boost)
        moved |= (before[3] != market.has_bounty) | market.has_bounty | (load != np.floor(market.utilization * 10))
        self._dirty.update(int(i) for i in np.flatnonzero(moved))
        self._rolling()
        self._server_health()
        if self._dirty:
            self._wake()
        if self.progress is not None:
            self.progress(self.now)
        self._push(self.now + market.rules.soft_seconds, _Kind.TICK)

    def _scale_down(self, chute: int) -> None:
        """The validator ends one of our copies that is old enough, in a fixed but arbitrary order; that is paid."""
        old = [c for c in self._running() if c.chute == chute]
        old = [c for c in old if self.now - (c.activated_at or 0.0) >= 63 * 60]
        if old:
            self._end(min(old, key=lambda c: self._random(c.id, 6)), by_validator=True)

    def _running(self) -> list[Copy]:
        return [self.copies[view.id] for view in self.views.values() if view.active]

    def _rolling(self) -> None:
        wave = self.market.disturbed("rolling", self.now)
        if wave is None:
            return
        hit = self.market.affected(wave, len(self.chutes), 3)
        chance = self.market.rules.soft_seconds / (wave.end - wave.start) * 2
        draw = np.random.default_rng([self.scenario.seed, int(self.now), 5]).random(len(self.chutes))
        for copy in self._running():
            if hit[copy.chute] and (copy.activated_at or 0.0) < wave.start and draw[copy.chute] < chance:
                self._end(copy, by_validator=True)

    def _server_health(self) -> None:
        for kind, salt in (("flap", 11), ("server", 13)):
            event = self.market.disturbed(kind, self.now)
            hit = self.market.affected(event, len(self.servers), salt) if event else np.zeros(len(self.servers), bool)
            for row, view in enumerate(self.servers):
                if kind == "server" and hit[row] and view.healthy:
                    for copy in [self.copies[name] for name in list(self.views) if self.copies[name].server == row]:
                        self._end(copy, by_validator=False)
                if any(d.kind == kind for d in self.scenario.disturbances) and view.healthy == bool(hit[row]):
                    self.servers[row] = replace(self.servers[row], healthy=not hit[row])
                    self._wake()

    def _hourly(self) -> None:
        """Multipliers drift once an hour; the hour's numbers are written down."""
        for copy in self.copies.values():
            if copy.activated_at is None or copy.id not in self.views:
                continue
            before = copy.units
            copy.settle(self.now, self.ledger.warmup_pay)
            self._hour_units += copy.units - before
            _, target = self.market.multiplier(copy.chute, self.now)
            fresh = drifted(copy.multiplier, target, (self.now - copy.activated_at) / HOUR)
            if fresh != copy.multiplier:
                copy.multiplier = fresh
                self.views[copy.id] = replace(self.views[copy.id], multiplier=fresh)
        self.result.hourly.append(self._hour_units)
        self._hour_units = 0.0
        self._push(self.now + HOUR, _Kind.HOURLY)

    def _account(self, seconds: float) -> None:
        market, result = self.market, self.result
        result.rival_units += float((market.rivals * market.base * market.boost).sum()) * seconds / HOUR
        free = {"no_room_or_fit": 0.0, "starting": 0.0, "unhealthy": 0.0}
        for view in self.servers:
            free["no_room_or_fit" if view.healthy else "unhealthy"] += view.free
        free["starting"] = float(sum(v.gpu_count for v in self.views.values() if not v.active))
        hour = int(self.now // HOUR)
        for cause, gpus in free.items():
            result.idle[cause] = result.idle.get(cause, 0.0) + gpus * seconds / HOUR
            line = result.idle_hourly.setdefault(cause, [])
            line += [0.0] * (hour + 1 - len(line))
            line[hour] += gpus * seconds / HOUR
        if result.filled_at is None and free["no_room_or_fit"] <= 0.1 * self.scenario.gpus:
            result.filled_at = self.now
        while len(result.caps) <= hour:
            result.caps.append(np.zeros(len(self.chutes)))
            result.rates.append(np.zeros(len(self.chutes)))
        open_to_us = np.where(market.public, market.target + 1 - market.rivals, market.has_bounty | (market.active > 0))
        result.caps[hour] = np.maximum(result.caps[hour], np.maximum(open_to_us, market.ours))
        age = np.where(market.has_bounty, self.now - np.where(market.has_bounty, market.bounty_since, 0.0), 0.0)
        bonus = np.where(market.has_bounty, 1.1 + 0.4 * np.minimum(1.0, age / (3 * HOUR)), 1.0)
        result.rates[hour] = np.maximum(result.rates[hour], market.base * market.boost * bonus)

    # --- copies

    def _claim(self, copy: Copy) -> None:
        copy.claimed_at = copy.since = self.now
        copy.multiplier = self.market.multiplier(copy.chute, self.now)[1]
        self.views[copy.id] = replace(self.views[copy.id], state=DeploymentState.VERIFIED)

    def _activate(self, copy: Copy) -> None:
        market = self.market
        if not market.admits(copy.chute):
            self._end(copy, by_validator=False)
            return
        copy.settle(self.now, self.ledger.warmup_pay)
        copy.multiplier, _ = market.multiplier(copy.chute, self.now)
        copy.activated_at, copy.bounty = self.now, bool(market.has_bounty[copy.chute])
        market.bounty_since[copy.chute] = np.inf
        market.pending[copy.chute] -= 1
        market.ours[copy.chute] += 1
        model = self.scenario.chutes[copy.chute]
        server = self.servers[copy.server]
        self.cached[copy.server] = {**self.cached[copy.server], model.id: int(model.model_gb * 1e9)}
        self.servers[copy.server] = replace(
            server,
            starts_in_progress=server.starts_in_progress - 1,
            cached_chutes=self.cached[copy.server],
            disk_free_gb=server.disk_free_gb,
        )
        self.views[copy.id] = replace(
            self.views[copy.id],
            state=DeploymentState.ACTIVE,
            activated_at=self.now,
            since=self.now,
            multiplier=copy.multiplier,
        )
        life = self._random(copy.id, 1) if not model.public else 0.0
        if not model.public:
            busy = -np.log(max(life, 1e-9)) * model.busy_hours * HOUR
            self._push(self.now + max(market.rules.private_minimum_age, float(busy)), _Kind.END, copy.id)
        hazard = -np.log(max(self._random(copy.id, 2), 1e-9)) / market.rules.failure_per_hour * HOUR
        if model.public and hazard < self.scenario.seconds:
            self._push(self.now + float(hazard), _Kind.END, copy.id)
        self._dirty.add(copy.chute)
        self._wake()

    def _fail(self, copy: Copy) -> None:
        """Its time has come: a private chute goes idle (the validator's ending), or the pod fails."""
        ended_by_validator = copy.activated_at is not None and not self.market.public[copy.chute]
        self._end(copy, by_validator=bool(ended_by_validator))

    def _end(self, copy: Copy, *, by_validator: bool) -> None:
        """The copy leaves the network at once; its GPUs follow when its pod has shut down."""
        market = self.market
        before = copy.units
        self.ledger.close(copy, self.now, by_validator=by_validator, public=bool(market.public[copy.chute]))
        self._hour_units += copy.units - before
        if copy.activated_at is None:
            market.pending[copy.chute] -= 1
            view = self.servers[copy.server]
            self.servers[copy.server] = replace(view, starts_in_progress=view.starts_in_progress - 1)
        else:
            market.ours[copy.chute] -= 1
        if not market.public[copy.chute] and market.active[copy.chute] == 0 and not market.has_bounty[copy.chute]:
            market.target[copy.chute] = 0
        del self.copies[copy.id], self.views[copy.id]
        gone = replace(copy, id=f"gone-{copy.id}")
        self.copies[gone.id] = gone
        gone.claimed_at = None
        self._dirty.add(copy.chute)
        self._push(self.now + market.rules.shutdown_seconds, _Kind.FREE, gone.id)

    def _free(self, copy: Copy) -> None:
        del self.copies[copy.id]
        view = self.servers[copy.server]
        self.servers[copy.server] = replace(view, free_mask=view.free_mask | copy.mask)
        self._wake()

    def _random(self, name: str, salt: int) -> float:
        """A number in (0, 1) that depends on the copy and the seed only."""
        number = int(name.rsplit("-", 1)[-1])
        return float(np.random.default_rng([self.scenario.seed, number, salt]).random())

    # --- decisions

    def _decide(self) -> None:
        if self.market.disturbed("outage", self.now) is not None:
            self._last_decision = self.now
            self._wake(60.0)
            return
        for chute in self._dirty:
            self.chutes[chute] = self._chute_view(chute)
        self._dirty.clear()
        snapshot = self._snapshot()
        began = time.perf_counter()
        wanted, self.memory = decide(snapshot, self.configuration, self.memory, self.strategy)
        allowed, _, self.spent = pass_gate(snapshot, wanted, self.configuration, self.spent)
        self.result.decision_seconds += time.perf_counter() - began
        self.result.decisions += 1
        self._last_decision = self.now
        acted = sum(self._act(intent) for intent in allowed)
        if acted:
            self._wake(self.decide_seconds)
        elif self.refused:
            self._wake(max(self.decide_seconds, min(self.refused.values()) - self.now))
            self.refused = {c: until for c, until in self.refused.items() if until > self.now}

    def _snapshot(self) -> Snapshot:
        fresh = Source(self.now, complete=True)
        return Snapshot(
            now=self.now,
            servers=tuple(self.servers),
            chutes=tuple(self.chutes),
            deployments=tuple(self.views.values()),
            sources=dict.fromkeys(_SOURCES, fresh),
            seed=self.scenario.seed * 7919 + self.result.decisions,
        )

    def _act(self, intent: Intent) -> int:
        match intent:
            case Launch():
                return self._launch(intent)
            case Swap():
                return self._swap(intent)
            case Terminate():
                copy = self.copies.get(intent.deployment_id)
                if copy is not None:
                    self._end(copy, by_validator=False)
                return 1
            case _:
                return 0

    def _launch(self, intent: Launch) -> int:
        chute = int(intent.chute_id[1:])
        if self.market.refuses(chute, self.now):
            self._refuse(chute)
            return 0
        self._start(intent, chute, 1.0)
        return 1

    def _refuse(self, chute: int) -> None:
        self.result.refusals += 1
        self.refused[chute] = self.now + REFUSED_SECONDS
        self._dirty.add(chute)

    def _start(self, intent: Launch, chute: int, delay: float) -> None:
        row = int(intent.server_id[1:])
        view, model, server = self.servers[row], self.scenario.chutes[chute], self.scenario.servers[row]
        number = next(self._numbers)
        copy = Copy(f"d-{number}", chute, row, intent.gpu_mask, model.gpu_count, self.now)
        self.copies[copy.id] = copy
        self.market.pending[chute] += 1
        self.servers[row] = replace(
            view, free_mask=view.free_mask & ~intent.gpu_mask, starts_in_progress=view.starts_in_progress + 1
        )
        self.views[copy.id] = DeploymentView(
            copy.id, intent.chute_id, "1", intent.server_id, intent.gpu_mask, DeploymentState.LAUNCHED, self.now,
            self.now, _VALIDATOR, public=model.public, preemptible=model.public,
        )  # fmt: skip
        spread = 0.7 + 0.6 * self._random(copy.id, 3)
        sharing = 1 + 0.5 * view.starts_in_progress
        cached = self.configuration.value.cached_start_factor if model.id in self.cached[row] else 1.0
        seconds = delay + model.start_seconds * spread * sharing * cached
        fails = self._random(copy.id, 4) < self.market.rules.launch_failure + server.failure_rate
        self._push(self.now + delay + 0.3 * seconds, _Kind.CLAIM, copy.id)
        self._push(self.now + seconds, _Kind.END if fails else _Kind.ACTIVATE, copy.id)
        self.result.launches += 1
        self._dirty.add(chute)

    def _swap(self, intent: Swap) -> int:
        chute = int(intent.launch.chute_id[1:])
        if self.market.refuses(chute, self.now):
            self._refuse(chute)
            return 0
        victims = [self.copies[victim] for victim in intent.victims]
        self.result.violations += self._violations(victims, chute)
        self.result.swaps += 1
        self.result.swap_gain += intent.gain
        for victim in victims:
            self._end(victim, by_validator=False)
            gone = self.copies.pop(f"gone-{victim.id}")
            view = self.servers[gone.server]
            self.servers[gone.server] = replace(view, free_mask=view.free_mask | gone.mask)
        self._start(intent.launch, chute, self.market.rules.shutdown_seconds)
        return 1

    def _violations(self, victims: list[Copy], chute: int) -> int:
        """Hard rules broken, judged by the simulator's own truth and not by the snapshot that the decision saw."""
        now, market = self.now, self.market
        broken = sum(1 for v in victims if v.activated_at is None or now - v.activated_at < HOUR)
        broken += sum(1 for v in victims if not market.public[v.chute] or v.chute == chute)
        for victim_chute in {v.chute for v in victims}:
            taken = sum(1 for v in victims if v.chute == victim_chute)
            broken += int(market.active[victim_chute] - taken < 1)
        broken += int(sum(v.multiplier for v in victims) >= market.multiplier(chute, now)[0])
        return broken

    # --- views

    def _server_view(self, row: int) -> ServerView:
        model = self.scenario.servers[row]
        return ServerView(
            id=model.id,
            name=model.id,
            validator=_VALIDATOR,
            gpu_type=model.gpu_type,
            gpu_total=model.gpus,
            free_mask=(1 << model.gpus) - 1,
            hourly_cost=model.hourly_cost,
            tee=True,
            vm_version=(1, 4, 0),
            disk_free_gb=100_000.0,
        )

    def _chute_view(self, row: int) -> ChuteView:
        model, market = self.scenario.chutes[row], self.market
        now, later = market.multiplier(row, self.now)
        target, live = int(market.target[row]), int(market.live[row])
        return ChuteView(
            id=model.id,
            version="1",
            name=model.id,
            validator=_VALIDATOR,
            gpu_count=model.gpu_count,
            gpu_types=frozenset(model.gpu_types),
            tee=True,
            public=model.public,
            preemptible=model.public,
            m_eff=now,
            m_target=later,
            bounty_boost=now / later,
            bounty=bool(market.has_bounty[row]),
            allowance=max(0, target - live),
            target=target,
            live=live,
            utilization=min(1.0, float(market.utilization[row])),
            my_active=int(market.ours[row]),
            global_active=int(market.active[row]),
            start_seconds=model.start_seconds,
            refuse_until=self.refused.get(row, 0.0),
            runtime_version=(0, 6, 0),
        )
