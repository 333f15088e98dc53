"""Starts for bounties in the bound's linear program: each counts once, by expectation (spec: gepetto 25.4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.gepetto.simulator.linear import Entry, Program
from app.gepetto.simulator.offers import Offer, offer
from app.gepetto.simulator.result import Bounty
from app.gepetto.simulator.scenario import HOUR
from app.gepetto.simulator.supply import Supply


def add_private_copies(program: Program, supply: Supply, bounties: Sequence[Bounty], skip_hours: int) -> None:
    """One start for each bounty: at its birth, or after the shutdown of what had to end for it."""
    scenario, hours = supply.scenario, len(supply.rooms)
    market = scenario.market
    for bounty in bounties:
        chute, born, once = scenario.chutes[bounty.chute], int(bounty.born_at // HOUR), program.row(1.0)
        for late_seconds in (0.0, market.shutdown_seconds):
            found = offer(bounty, chute, market, hours, late_seconds)
            worth = float(found.income[skip_hours:].sum()) + found.warm_up_income * (born >= skip_hours)
            for kind in supply.types_of(chute):
                taken = _taken_by(supply, found, kind, chute.gpu_count, born)
                ready = [] if late_seconds else [supply.ready(program, born, kind, chute.gpu_count)]
                program.column(worth, [(once, 1.0), *taken, *ready])


def _taken_by(supply: Supply, found: Offer, kind: str, gpus: int, born: int) -> list[Entry]:
    """GPUs by hour: the start and its shutdown in the first, the life of what was won later on."""
    ready_hours = supply.scenario.market.soft_seconds / HOUR
    taken = supply.taken(born, kind, gpus, found.start_hours + found.shutdown_hours, ready_hours)
    for hour in np.flatnonzero(found.copy_hours > 0):
        taken += supply.taken(int(hour), kind, gpus, float(found.copy_hours[hour]))
    return taken
