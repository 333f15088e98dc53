"""How long neurons stay: Kaplan-Meier curves with late entry and right-censoring (spec: tracker 5.5). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tracker.model import BLOCKS_PER_DAY


@dataclass(frozen=True)
class Life:
    """One occupancy in blocks of age: watched from `entry` until `exit`; `ended` says whether it left then."""

    entry: int
    exit: int
    ended: bool


@dataclass(frozen=True)
class Survival:
    """A survival curve: at each age in blocks, the share that is still there just after it."""

    ages: tuple[int, ...]
    shares: tuple[float, ...]
    lives: int
    ends: int

    def share_at(self, age_blocks: int) -> float | None:
        """Share alive at an age; None beyond what was watched."""
        share = 1.0
        for age, after in zip(self.ages, self.shares, strict=True):
            if age > age_blocks:
                return share
            share = after
        return share if self.ages and age_blocks <= self.ages[-1] else (share if share == 0 else None)

    def lost_between(self, first_blocks: int, last_blocks: int) -> float | None:
        """Share of those alive at one age that is gone at a later one; None beyond what was watched."""
        before, after = self.share_at(first_blocks), self.share_at(last_blocks)
        return None if not before or after is None else 1 - after / before

    @property
    def median_blocks(self) -> int | None:
        """Age by which half are gone; None if half never went while watched."""
        return next((age for age, share in zip(self.ages, self.shares, strict=True) if share <= 0.5), None)


def survival(lives: Iterable[Life], minimum_at_risk: int = 1) -> Survival:
    """The Kaplan-Meier estimate; who enters late counts as at risk only from then.

    Ages at which fewer than `minimum_at_risk` were watched are passed over: with late entry one early end among one
    watched neuron would take the whole curve to zero.
    """
    usable = [life for life in lives if life.exit > life.entry]
    ends = sorted({life.exit for life in usable if life.ended})
    ages: list[int] = []
    shares: list[float] = []
    share = 1.0
    for age in ends:
        at_risk = sum(life.entry < age <= life.exit for life in usable)
        if at_risk < minimum_at_risk:
            continue
        gone = sum(life.ended and life.exit == age for life in usable)
        share *= 1 - gone / at_risk
        ages.append(age)
        shares.append(share)
    return Survival(tuple(ages), tuple(shares), len(usable), sum(life.ended for life in usable))


@dataclass(frozen=True)
class SeatState:
    """One change of one seat as a snapshot showed it; no hotkey means that the seat was gone."""

    at_block: int
    hotkey: str | None
    registered: int | None


def lives_of_seat(states: Sequence[SeatState], first_block: int, last_block: int) -> list[Life]:
    """Occupancies of one seat, from its changes in order. A hotkey swap keeps the registration block: no new life.

    Rows without a registration block start when they were first seen; their age is then too low, which late entry at
    age zero makes an underestimate of tenure, not an error.
    """
    lives = []
    for index, state in enumerate(states):
        if state.hotkey is None or (index > 0 and _continues(states[index - 1], state)):
            continue
        following = next((later for later in states[index + 1 :] if not _continues(state, later)), None)
        born = state.registered if state.registered is not None else state.at_block
        watched_from = max(born, first_block)
        left = last_block if following is None else _moment_of_leaving(following)
        lives.append(Life(watched_from - born, max(0, left - born), ended=following is not None))
    return lives


def _continues(earlier: SeatState, later: SeatState) -> bool:
    if earlier.hotkey is None or later.hotkey is None or earlier.registered is None:
        return False
    return earlier.registered == later.registered


def _moment_of_leaving(following: SeatState) -> int:
    """The successor's own registration block, where it is known, is the exact moment."""
    return following.registered if following.registered is not None else following.at_block


def days(blocks: float) -> float:
    """Blocks of 12 s in days."""
    return blocks / BLOCKS_PER_DAY
