"""What a simulated miner is paid: history segments and who forfeits them (spec: gepetto 21.1, 21.2, 21.6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from app.gepetto.simulator.scenario import HOUR

#: So many hours after its activation a copy has the chute's multiplier and nothing of its own.
DRIFT_HOURS: Final = 8


@dataclass(slots=True)
class Copy:
    """One copy of ours at the simulated validator. Income is in multiplier-hours; it counts only once it is earned.

    `number` says the how-manieth copy of its chute it is in this run; its start began at `begins_at` and takes about
    `usual_seconds`.
    """

    id: str
    chute: int
    server: int
    mask: int
    gpus: int
    launched_at: float
    number: int = 1
    begins_at: float = 0.0
    usual_seconds: float = 0.0
    claimed_at: float | None = None
    activated_at: float | None = None
    multiplier: float = 0.0
    since: float = 0.0
    units: float = 0.0
    bounty: bool = False

    def settle(self, now: float, warmup_pay: float) -> None:
        """Add what was earned since the last change of the multiplier."""
        if self.claimed_at is None:
            return
        rate = self.multiplier * (1.0 if self.activated_at is not None else warmup_pay)
        self.units += rate * (now - self.since) / HOUR
        self.since = now


def drifted(current: float, target: float, hours: float) -> float:
    """The multiplier after one hourly refresh."""
    if hours <= 2:
        return current
    if hours >= DRIFT_HOURS:
        return target
    share = ((hours - 2) / 6) ** 2
    return current * (1 - share) + target * share


@dataclass
class Ledger:
    """The miner's account."""

    warmup_pay: float
    paid: float = 0.0
    forfeited: float = 0.0
    forfeited_copies: int = 0
    paid_at: list[tuple[float, float]] = field(default_factory=list)

    def close(self, copy: Copy, now: float, *, by_validator: bool, public: bool) -> None:
        """A copy ended: by the rule of 21.1 it is paid in whole or not at all."""
        copy.settle(now, self.warmup_pay)
        active = copy.activated_at is not None
        old_enough = active and copy.activated_at is not None and now - copy.activated_at >= HOUR
        if active and (by_validator or (public and old_enough)):
            self.paid += copy.units
            self.paid_at.append((now, copy.units))
        else:
            self.forfeited += copy.units
            self.forfeited_copies += int(active)
