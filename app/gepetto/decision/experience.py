"""What our own starts teach: how long a chute takes to become active, and how many starts do (spec: gepetto 22.10).

Learned from one snapshot to the next, so production and simulator learn alike; losing it costs precision only. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import DeploymentState, DeploymentView

#: Weight of the newest start in a chute's mean; older ones fade.
_NEWEST: Final = 0.3
#: Starts that count at most: with more, all are scaled down, so that old times fade.
_MOST_STARTS: Final = 300.0
#: How many starts the configured success rate is worth.
_PRIOR_STARTS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Tally:
    """Starts that became active, and those that did not; old ones count less."""

    active: float = 0.0
    lost: float = 0.0

    def plus(self, *, active: bool) -> Tally:
        """One more start."""
        total = self.active + self.lost
        fade = 1.0 if total < _MOST_STARTS else 0.5
        return Tally(self.active * fade + active, self.lost * fade + (not active))

    def rate(self, prior: float) -> float:
        """Share of starts that become active, with the configured share as if it had been seen some times."""
        total = self.active + self.lost + _PRIOR_STARTS
        return (self.active + prior * _PRIOR_STARTS) / total


@dataclass(frozen=True, slots=True)
class Experience:
    """Starts under way by deployment; seconds until active by chute; how starts of each kind ended."""

    starting: Mapping[str, DeploymentView] = field(default_factory=lambda: MappingProxyType({}))
    seconds: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    public: Tally = Tally()
    private: Tally = Tally()


NO_EXPERIENCE: Final = Experience()


def learn(snapshot: Snapshot, before: Experience) -> Experience:
    """What is known after this snapshot. Jobs teach nothing: they race by other rules."""
    active, draining = DeploymentState.ACTIVE, DeploymentState.DRAINING  # all other states are those of a start
    starting = {
        row.id: row
        for row in snapshot.deployments
        if row.state is not active and row.state is not draining and row.job_id is None
    }
    ended = [row for name, row in before.starting.items() if name not in starting]
    if not ended:
        return before if starting == before.starting else _with_starting(before, starting)
    now = {row.id: row for row in snapshot.deployments}
    seconds, tallies = dict(before.seconds), {True: before.public, False: before.private}
    for row in ended:
        found = now.get(row.id)
        is_active = found is not None and found.activated_at is not None
        tallies[row.public] = tallies[row.public].plus(active=is_active)
        if found is not None and found.activated_at is not None:
            took = max(0.0, found.activated_at - found.created_at)
            known = seconds.get(row.chute_id, took)
            seconds[row.chute_id] = known + _NEWEST * (took - known)
    return Experience(starting, seconds, tallies[True], tallies[False])


def _with_starting(before: Experience, starting: Mapping[str, DeploymentView]) -> Experience:
    return Experience(starting, before.seconds, before.public, before.private)
