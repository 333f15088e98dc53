"""What one launch is worth (spec: gepetto 21.5, 21.6, 22.2). Pure arithmetic over columns.

Units: income is compute multiplier times hours; a rate is income per GPU-hour.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from app.gepetto.decision.configuration import Configuration
from app.gepetto.world.columns import Columns, Floats
from app.gepetto.world.views import ChuteView

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


def launch_rates(columns: Columns, configuration: Configuration) -> Floats:
    """Expected income per GPU-hour of one more copy of every chute, start time included."""
    value = configuration.value
    floats, integers = columns.chute_floats, columns.chute_integers
    gpus = np.maximum(integers[:, 0], 1)
    public = integers[:, 7] == 1
    lifetime = np.where(public, value.public_lifetime_seconds, value.private_lifetime_seconds)
    hours = np.where(np.isnan(floats[:, 4]), lifetime, floats[:, 4]) / 3600
    start_hours = floats[:, 2] / 3600
    success = np.where(np.isnan(floats[:, 5]), value.success_rate, floats[:, 5])
    now, later = floats[:, 0], floats[:, 1]
    income = value.warmup_pay_factor * now * start_hours + later * hours + (now - later) * bonus_hours(hours)
    rates = np.asarray(success * income / (gpus * (start_hours + hours)))
    for chute_id, override in configuration.chutes.items():
        position = columns.chute_index.get(chute_id)
        if position is not None:
            rates[position] *= override.weight
    return rates


def expected_lifetime(chute: ChuteView, configuration: Configuration) -> float:
    """Seconds that a new copy is expected to be active: the chute's own estimate, else the kind's."""
    if chute.lifetime_seconds is not None:
        return chute.lifetime_seconds
    value = configuration.value
    return value.public_lifetime_seconds if chute.public else value.private_lifetime_seconds


def swap_gain(
    multipliers: tuple[float, float],
    victims_multiplier: float,
    start_seconds: float,
    lifetime_seconds: float,
    configuration: Configuration,
) -> float:
    """Income won by ending victims for a new copy, over the horizon (spec: gepetto 22.6).

    The new copy earns for its own expected lifetime only; then its GPUs are filled again. The
    victims would have earned for the whole horizon.

    Args:
        multipliers: the new copy's multiplier now and after the drift.
        victims_multiplier: the sum of what the victims earn now.
        start_seconds: how long the new copy needs until it is active.
        lifetime_seconds: how long it is expected to be active.
        configuration: horizon, shutdown time, success rate and pay while warming up.
    """
    income, hours_lost = _swap_terms(multipliers, start_seconds, lifetime_seconds, configuration)
    return income - victims_multiplier * hours_lost


def most_loss(
    multipliers: tuple[float, float], start_seconds: float, lifetime_seconds: float, configuration: Configuration
) -> float:
    """The sum of victims' multipliers from which on a swap no longer pays, the wanted margin included."""
    income, hours_lost = _swap_terms(multipliers, start_seconds, lifetime_seconds, configuration)
    hours = hours_lost + configuration.swap.margin * configuration.swap.horizon_seconds / 3600
    return income / hours if hours > 0 else float("inf")


def _swap_terms(
    multipliers: tuple[float, float], start_seconds: float, lifetime_seconds: float, configuration: Configuration
) -> tuple[float, float]:
    """What the new copy earns over the horizon, and for how many hours the victims' income is lost."""
    now, later = multipliers
    horizon = configuration.swap.horizon_seconds / 3600
    start = start_seconds / 3600
    left = max(0.0, horizon - start - configuration.swap.shutdown_seconds / 3600)
    active = min(left, lifetime_seconds / 3600)
    income = later * active + (now - later) * float(bonus_hours(active))
    income += configuration.value.warmup_pay_factor * now * start
    refilled = configuration.swap.refill_share * max(0.0, left - active)
    return configuration.value.success_rate * income, horizon - refilled
