"""Subnet competition over time: snapshots, analysis, cost, report.

Imports of app only app.protocol. The names below are those of the earlier tool; they load when they are first used, so
that importing the package needs no chain library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracker.facade import (
        SubnetCompetitionTracker,
        compare_registration_costs,
        estimate_registration_usd,
        get_all_subnet_costs,
        get_registration_cost,
    )

__all__ = [
    "SubnetCompetitionTracker",
    "compare_registration_costs",
    "estimate_registration_usd",
    "get_all_subnet_costs",
    "get_registration_cost",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("tracker.facade"), name)
    raise AttributeError(f"module 'tracker' has no attribute {name!r}")
