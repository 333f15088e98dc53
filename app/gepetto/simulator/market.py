"""The simulated validator and the other miners, as arrays over chutes (spec: gepetto 14.5, 21.5, 21.7).

Simplified where sources are uncertain: urgency and revenue make one boost per chute; other miners fill open room at a
constant rate; demand is a daily wave with noise. All noise is drawn per tick, so that every strategy meets the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.gepetto.simulator.scenario import HOUR, Disturbance, Scenario

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
BOUNTY_HOURS = 1.0
_FULL_BOUNTY_SECONDS = 3 * HOUR
_STREAMS = _DEMAND, _RIVALS, _BOUNTIES, _PICKS = 0, 1, 2, 3


def bounty_factor(age_seconds: float) -> float:
    """Factor on the multiplier of the copy that claims a bounty of this age (spec: gepetto 21.5)."""
    return 1.1 + 0.4 * min(1.0, age_seconds / _FULL_BOUNTY_SECONDS)


class MarketState:
    """Targets, rivals' copies, bounties and boosts at one moment; `ours` and `pending` are kept by the engine."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.rules = scenario, scenario.market
        chutes = scenario.chutes
        count = len(chutes)
        self.public: Booleans = np.asarray([c.public for c in chutes])
        self.base: Floats = np.asarray([c.base for c in chutes])
        self._load = np.asarray([c.mean_load for c in chutes])
        self._swing = np.asarray([c.swing for c in chutes])
        self._phase = np.asarray([c.phase for c in chutes])
        self._revenue = np.asarray([c.revenue_boost for c in chutes])
        self._wakes = np.asarray([c.bounties_per_hour for c in chutes])
        self._busy_hours = np.asarray([c.busy_hours for c in chutes])
        self.noise: Floats = np.zeros(count)
        self.target: Integers = np.where(self.public, 2, 0)
        self.rivals: Integers = np.zeros(count, dtype=np.int64)
        self.ours: Integers = np.zeros(count, dtype=np.int64)
        self.pending: Integers = np.zeros(count, dtype=np.int64)
        self.bounty_since: Floats = np.full(count, np.inf)
        self.rival_until: Floats = np.zeros(count)
        self.boost: Floats = np.ones(count)
        self.utilization: Floats = np.zeros(count)
        self.calls = 0
        self._drawn_at = -1
        self._drawn: Floats = np.zeros((len(_STREAMS), count))
        self._warm_rivals()

    def _warm_rivals(self) -> None:
        """The network has run before we came: rivals hold most of what was wanted at the start."""
        wanted = np.ceil(self.demand(0.0) / self.rules.utilization_threshold).astype(np.int64)
        self.target = np.where(self.public, np.maximum(2, wanted), 0)
        self.rivals = np.where(self.public, (self.target * 0.6).astype(np.int64), 0)

    @property
    def live(self) -> Integers:
        """Every miner's copies as the validator counts them: claimed ones included."""
        return self.rivals + self.ours + self.pending

    @property
    def active(self) -> Integers:
        return self.rivals + self.ours

    @property
    def has_bounty(self) -> Booleans:
        return np.isfinite(self.bounty_since)

    def demand(self, now: float) -> Floats:
        """Work in copies' worth."""
        wave = 1 + self._swing * np.sin(2 * np.pi * now / (24 * HOUR) + self._phase)
        return np.asarray(np.where(self.public, self._load * wave * np.exp(self.noise), 0.0))

    def disturbed(self, kind: str, now: float) -> Disturbance | None:
        return next((d for d in self.scenario.disturbances if d.kind == kind and d.start <= now < d.end), None)

    def affected(self, disturbance: Disturbance, count: int, salt: int) -> Booleans:
        """Which servers or chutes a disturbance hits."""
        rng = np.random.default_rng([self.scenario.seed, salt, int(disturbance.start)])
        return np.asarray(rng.random(count) < disturbance.share)

    def _draw(self, tick: int, stream: int) -> Floats:
        """Numbers in [0, 1) for every chute, the same at one tick whoever asks."""
        if self._drawn_at != tick:
            self._drawn = np.random.default_rng([self.scenario.seed, tick]).random((len(_STREAMS), len(self.base)))
            self._drawn_at = tick
        return np.asarray(self._drawn[stream])

    def step(self, now: float) -> list[int]:
        """One autoscaler run; returns chutes of which one copy of ours is to be ended, once per copy."""
        tick = round(now / self.rules.soft_seconds)
        self.noise += -0.01 * self.noise + 0.03 * (self._draw(tick, _DEMAND) - 0.5) * 2
        active = np.maximum(self.active, 0)
        demand = self.demand(now)
        self.utilization = np.minimum(1.5, demand / np.maximum(active, 1))
        self._grow(demand)
        ended = self._shrink(demand, tick) if now % self.rules.full_seconds < self.rules.soft_seconds else []
        self._rivals_fill(tick)
        self._wake_private(now, tick)
        urgency = np.clip((self.utilization - self.rules.utilization_threshold) * 2, 0, 1)
        self.boost = np.where(self.public, np.round(1 + self._revenue + 0.2 * urgency, 2), 1.0)
        return ended

    def _grow(self, demand: Floats) -> None:
        threshold = self.rules.utilization_threshold
        wanted = np.ceil(demand / threshold).astype(np.int64)
        hot = self.public & (self.utilization >= threshold)
        grown = np.minimum(np.maximum(wanted, self.active + 1), self.target + self.rules.growth_per_run)
        self.target = np.where(hot, np.maximum(self.target, grown), self.target)

    def _shrink(self, demand: Floats, tick: int) -> list[int]:
        """A full run: targets follow demand down, and a fifth of the excess is ended, ours by their share."""
        threshold = self.rules.utilization_threshold
        cold = self.public & (self.utilization < threshold * 0.4)
        wanted = np.maximum(2, np.ceil(demand / threshold).astype(np.int64))
        self.target = np.where(cold, np.maximum(wanted, (self.target * 0.8).astype(np.int64)), self.target)
        excess = np.where(self.public, np.maximum(0, self.active - self.target), 0)
        removed = np.ceil(excess / 5).astype(np.int64)
        draws = self._draw(tick, _PICKS)
        ended: list[int] = []
        for chute in np.flatnonzero(removed):
            share = self.ours[chute] / max(1, self.active[chute])
            ours = min(int(removed[chute] * share + draws[chute]), int(self.ours[chute]))
            self.rivals[chute] -= min(int(removed[chute]) - ours, int(self.rivals[chute]))
            ended += [int(chute)] * ours
        return ended

    def _rivals_fill(self, tick: int) -> None:
        chance = 1 - np.exp(-self.rules.soft_seconds / self.rules.competitor_seconds)
        open_room = np.where(self.public, np.maximum(0, self.target - self.live), 0)
        self.rivals += (open_room * chance + self._draw(tick, _RIVALS)).astype(np.int64) * (open_room > 0)

    def _wake_private(self, now: float, tick: int) -> None:
        draws = self._draw(tick, _BOUNTIES)
        self.rivals = np.where(~self.public & (self.rival_until <= now), 0, self.rivals)
        idle = ~self.public & (self.live == 0) & ~self.has_bounty
        woken = idle & (draws < self._wakes * self.rules.soft_seconds / HOUR)
        self.bounty_since[woken] = now
        self.target[woken] = 1
        waiting = ~self.public & self.has_bounty & (self.bounty_since < now)
        chance = 1 - np.exp(-self.rules.soft_seconds / self.rules.competitor_bounty_seconds)
        taken = waiting & (self.ours == 0) & (self._draw(tick, _RIVALS) < chance)
        self.rivals[taken] = 1
        self.rival_until[taken] = now + self._busy_hours[taken] * HOUR
        self.bounty_since[taken] = np.inf
        expired = waiting & (now - self.bounty_since > BOUNTY_HOURS * HOUR)
        self.bounty_since[expired] = np.inf
        self.target[expired & (self.active == 0)] = 0
        self.target[~self.public & (self.active == 0) & ~self.has_bounty] = 0

    def refuses(self, chute: int, now: float) -> bool:
        """Whether a request for a launch config is answered 423 (or not at all)."""
        self.calls += 1
        if self.disturbed("outage", now) is not None:
            return True
        storm = self.disturbed("refusals", now)
        if storm is not None and self.affected(storm, len(self.base), 7)[chute]:
            return True
        if self.public[chute]:
            return bool(self.live[chute] >= self.target[chute] + 1 or self.active[chute] >= self.target[chute])
        return bool(self.active[chute] >= self.target[chute]) or (
            bool(self.active[chute] == 0) and not bool(self.has_bounty[chute])
        )

    def admits(self, chute: int) -> bool:
        """Whether a copy that is ready may become active."""
        return bool(self.public[chute]) or bool(self.active[chute] == 0 and self.has_bounty[chute])

    def multiplier(self, chute: int, now: float) -> tuple[float, float]:
        """Multiplier of a new copy now, and without the bounty."""
        plain = float(self.base[chute] * self.boost[chute])
        since = float(self.bounty_since[chute])
        if not np.isfinite(since):
            return plain, plain
        return plain * bounty_factor(now - since), plain
