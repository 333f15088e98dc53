"""What one launch is worth (spec: gepetto 21.5, 21.6, 22.2). Pure arithmetic over columns.

Units: income is compute multiplier times hours; a rate is income per GPU-hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.experience import NO_EXPERIENCE, Experience
from app.gepetto.world.columns import Columns, Floats

_TABLE_HOURS = 24


@cache
def _bonus_table() -> tuple[Floats, Floats]:
    """Hours since activation, and the hours of full bonus collected until then, with the hourly drift of 21.6."""
    share, collected = 1.0, 0.0
    totals = [0.0]
    for hour in range(1, _TABLE_HOURS + 1):
        collected += share
        totals.append(collected)
        if hour >= 8:
            share = 0.0
        elif hour > 2:
            share *= 1 - ((hour - 2) / 6) ** 2
    return np.arange(_TABLE_HOURS + 1, dtype=np.float64), np.asarray(totals)


def bonus_hours(lifetime_hours: Floats | float) -> Floats:
    """Equivalent hours at the full claimed multiplier before drift takes the bonus away."""
    hours, totals = _bonus_table()
    return np.asarray(np.interp(lifetime_hours, hours, totals))


@dataclass(frozen=True, slots=True)
class Expectations:
    """Per chute, in the columns' order: seconds until active, share of starts that get there, hours of activity."""

    start_seconds: Floats
    success: Floats
    hours: Floats


def expectations(
    columns: Columns, configuration: Configuration, experience: Experience = NO_EXPERIENCE
) -> Expectations:
    """What to expect of one more copy of every chute: its own word first, then experience, then configuration."""
    value, floats = configuration.value, columns.chute_floats
    public = columns.chute_integers[:, 7] == 1
    rates = (experience.private.rate(value.success_rate), experience.public.rate(value.success_rate))
    success = np.where(np.isnan(floats[:, 5]), np.where(public, rates[1], rates[0]), floats[:, 5])
    lifetime = np.where(public, value.public_lifetime_seconds, value.private_lifetime_seconds)
    start = floats[:, 2].copy()
    for chute_id, seconds in experience.seconds.items():
        position = columns.chute_index.get(chute_id)
        if position is not None:
            start[position] = seconds
    return Expectations(start, success, np.where(np.isnan(floats[:, 4]), lifetime, floats[:, 4]) / 3600)


def launch_rates(columns: Columns, configuration: Configuration, expected: Expectations | None = None) -> Floats:
    """Expected income per GPU-hour of one more copy of every chute.

    A start that fails has cost its start time and nothing more, so time is counted by expectation as income is.
    """
    value, floats = configuration.value, columns.chute_floats
    found = expected or expectations(columns, configuration)
    start, hours = found.start_seconds / 3600, found.hours
    now, later = floats[:, 0], floats[:, 1]
    income = value.warmup_pay_factor * now * start + later * hours + (now - later) * bonus_hours(hours)
    gpus = np.maximum(columns.chute_integers[:, 0], 1)
    rates = np.asarray(found.success * income / (gpus * (start + found.success * hours)))
    for chute_id, override in configuration.chutes.items():
        position = columns.chute_index.get(chute_id)
        if position is not None:
            rates[position] *= override.weight
    return rates


@dataclass(frozen=True, slots=True)
class SwapCandidate:
    """The new copy of a swap: multiplier now and after the drift, seconds until active, hours of activity."""

    now: float
    later: float
    start_seconds: float
    hours: float
    success: float


def swap_gain(candidate: SwapCandidate, victims_multiplier: float, configuration: Configuration) -> float:
    """Income won by ending victims for a new copy, over the horizon (spec: gepetto 22.6).

    The new copy earns for its own expected lifetime only; then its GPUs are filled again. The
    victims, whose multipliers sum up to `victims_multiplier`, would have earned for the whole horizon.
    """
    income, hours_lost = _swap_terms(candidate, configuration)
    return income - victims_multiplier * hours_lost


def most_loss(candidate: SwapCandidate, configuration: Configuration) -> float:
    """The sum of victims' multipliers from which on a swap no longer pays, the wanted margin included."""
    income, hours_lost = _swap_terms(candidate, configuration)
    hours = hours_lost + configuration.swap.margin * configuration.swap.horizon_seconds / 3600
    return income / hours if hours > 0 else float("inf")


def _swap_terms(candidate: SwapCandidate, configuration: Configuration) -> tuple[float, float]:
    """What the new copy earns over the horizon, and for how many hours the victims' income is lost."""
    now, later, start = candidate.now, candidate.later, candidate.start_seconds / 3600
    horizon = configuration.swap.horizon_seconds / 3600
    left = max(0.0, horizon - start - configuration.swap.shutdown_seconds / 3600)
    active = min(left, candidate.hours)
    income = later * active + (now - later) * float(bonus_hours(active))
    income += configuration.value.warmup_pay_factor * now * start
    refilled = configuration.swap.refill_share * max(0.0, left - candidate.success * active)
    return candidate.success * income, horizon - refilled
