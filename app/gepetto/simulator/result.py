"""What one simulated run gave, and what there was room for in it. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bounty:
    """A private chute that asked for a copy at `born_at`; its quickest mean start then took `start_seconds`."""

    chute: int
    born_at: float
    start_seconds: float


@dataclass
class HourRoom:
    """Sums over the autoscaler's runs of one hour; `ticks` of them. Rates are the highest of the hour.

    Attributes:
        copies: how many copies of each public chute had a place within its target.
        opened: how many places of public chutes became open.
        gone: how many public copies of ours ended, for whatever reason.
        claimed: multiplier of a new copy, with its bounty.
        refreshed: the same without a bounty as the hour began, which older copies are brought up to.
        there: how many runs found each server healthy, or with copies that run on.
        start_seconds: the shortest mean start of each chute, over where its model lay.
    """

    copies: Floats
    claimed: Floats
    refreshed: Floats
    there: Floats
    start_seconds: Floats
    opened: float = 0.0
    gone: float = 0.0
    ticks: int = 0

    @classmethod
    def empty(cls, chutes: int, servers: int) -> HourRoom:
        """An hour of which nothing is known yet."""
        copies, claimed, refreshed = (np.zeros(chutes) for _ in range(3))
        return cls(copies, claimed, refreshed, np.zeros(servers), np.full(chutes, np.inf))


@dataclass
class Result:
    """What one run gave. Units are multiplier-hours; `hourly` is income per hour, less what was forfeited in it."""

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
    room: list[HourRoom] = field(default_factory=list, repr=False)
    bounties: list[Bounty] = field(default_factory=list, repr=False)

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
