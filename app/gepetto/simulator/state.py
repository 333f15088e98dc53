"""Everything that changes in a simulated run: clock, events, copies, servers as the decision sees them."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import replace
from enum import IntEnum
from typing import Final

import numpy as np

from app.gepetto.simulator.ledger import Copy, Ledger
from app.gepetto.simulator.market import MarketState
from app.gepetto.simulator.result import Result
from app.gepetto.simulator.scenario import Scenario, ServerModel
from app.gepetto.world.views import ChuteView, DeploymentView, ServerView

VALIDATOR: Final = "simulated-validator"


class EventKind(IntEnum):
    """What happens next; of one moment, in the order in which it was planned."""

    TICK = 0
    HOURLY = 1
    CLAIM = 2
    ACTIVATE = 3
    END = 4
    FREE = 5
    DECIDE = 6


class Draw(IntEnum):
    """What a random number of a copy is for; each use has a stream of its own."""

    LIFE = 1
    HAZARD = 2
    START = 3
    FAILURE = 4
    PICK = 6


class Schedule:
    """Events in order, and the next decision, of which there is at most one."""

    def __init__(self, decide_seconds: float) -> None:
        self.now = 0.0
        self.decide_seconds = decide_seconds
        self.last_decision = -1e9
        self._events: list[tuple[float, int, EventKind, str]] = []
        self._order = itertools.count()
        self._decide_at: float | None = None

    def push(self, at: float, kind: EventKind, subject: str = "") -> None:
        """Plan an event."""
        heapq.heappush(self._events, (at, next(self._order), kind, subject))

    def wake(self, delay: float = 0.0) -> None:
        """Decide after that many seconds, or earlier if an earlier decision is planned; never too often."""
        at = max(self.now + delay, self.last_decision + self.decide_seconds)
        if self._decide_at is None or at < self._decide_at - 1e-9:
            self._decide_at = at
            self.push(at, EventKind.DECIDE)

    def pop(self, until: float) -> tuple[EventKind, str] | None:
        """Move the clock to the next event, or None when there is none before the end."""
        while self._events and self._events[0][0] <= until:
            self.now, _, kind, subject = heapq.heappop(self._events)
            if kind is not EventKind.DECIDE:
                return kind, subject
            if self._decide_at == self.now:  # an earlier wake-up may have replaced this one
                self._decide_at = None
                return kind, subject
        return None


class State:
    """One run's state; parts of the engine share it."""

    def __init__(self, scenario: Scenario, strategy: str, decide_seconds: float, market: MarketState) -> None:
        self.scenario = scenario
        self.market = market
        self.ledger = Ledger(scenario.market.warmup_pay)
        self.schedule = Schedule(decide_seconds)
        self.result = Result(strategy, scenario.preset.value, scenario.seed)
        self.copies: dict[str, Copy] = {}
        self.views: dict[str, DeploymentView] = {}
        self.servers = [server_view(model) for model in scenario.servers]
        self.cached: list[dict[str, int]] = [{} for _ in scenario.servers]
        self.refused: dict[int, float] = {}
        self.dirty: set[int] = set()
        self.hour_units = 0.0
        self.chutes = [self.chute_view(row) for row in range(len(scenario.chutes))]

    @property
    def now(self) -> float:
        return self.schedule.now

    def running(self) -> list[Copy]:
        """Our active copies."""
        return [self.copies[view.id] for view in self.views.values() if view.active]

    def random(self, copy: Copy, use: Draw) -> float:
        """A number in (0, 1) that depends on the seed, the chute and the how-manieth copy of it this is.

        So the first copy of a chute starts as fast and lives as long under every strategy: pairs differ by decisions.
        """
        return float(np.random.default_rng([self.scenario.seed, copy.chute, copy.number, use]).random())

    def chute_view(self, row: int) -> ChuteView:
        """A chute as its validator offers it now."""
        model, market = self.scenario.chutes[row], self.market
        now, later = market.multiplier(row, self.now)
        target, live = int(market.target[row]), int(market.live[row])
        return ChuteView(
            id=model.id,
            version="1",
            name=model.id,
            validator=VALIDATOR,
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
            others_active=int(market.rivals[row]),
            start_seconds=model.start_seconds,
            refuse_until=self.refused.get(row, 0.0),
            runtime_version=(0, 6, 0),
        )

    def occupy(self, row: int, mask: int) -> None:
        """GPUs of a server are taken by a start."""
        view = self.servers[row]
        starts = view.starts_in_progress + 1
        self.servers[row] = replace(view, free_mask=view.free_mask & ~mask, starts_in_progress=starts)

    def started(self, row: int) -> None:
        """A start on a server is over, well or badly."""
        view = self.servers[row]
        self.servers[row] = replace(view, starts_in_progress=view.starts_in_progress - 1)

    def release(self, row: int, mask: int) -> None:
        """GPUs of a server are free again."""
        view = self.servers[row]
        self.servers[row] = replace(view, free_mask=view.free_mask | mask)


def server_view(model: ServerModel) -> ServerView:
    """An empty server."""
    return ServerView(
        id=model.id,
        name=model.id,
        validator=VALIDATOR,
        gpu_type=model.gpu_type,
        gpu_total=model.gpus,
        free_mask=(1 << model.gpus) - 1,
        hourly_cost=model.hourly_cost,
        tee=True,
        vm_version=(1, 4, 0),
        disk_free_gb=100_000.0,
    )
