"""Copies of public chutes in the bound's linear program: places within targets, and racers (spec: gepetto 25.4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.gepetto.simulator.chance import CLAIM_SHARE, SHORTEST_START
from app.gepetto.simulator.ledger import DRIFT_HOURS, drifted
from app.gepetto.simulator.linear import Program
from app.gepetto.simulator.result import Floats, HourRoom
from app.gepetto.simulator.scenario import HOUR
from app.gepetto.simulator.supply import Supply


def add_public_copies(program: Program, supply: Supply, skip_hours: int) -> None:
    """Copies by the hour. Income of the first `skip_hours` does not count."""
    for hour, rates in enumerate(_kept_rates(supply.rooms)):
        counted = rates if hour >= skip_hours else np.zeros_like(rates)
        for position in np.flatnonzero(supply.rooms[hour].copies > 0):
            _add_chute(program, supply, hour, int(position), float(counted[position]))


def _add_chute(program: Program, supply: Supply, hour: int, position: int, rate: float) -> None:
    """Copies of one chute within the target, and racers beyond it.

    The validator lets a racer start only while a place is open (spec: gepetto 14.5), and ends one in its next full run.
    So for the time between two full runs at most it takes a place that became open (in this hour or the one before, by
    itself or by ending a copy), two starts at once, and what the place would have earned during them.
    """
    room, market, chute = supply.rooms[hour], supply.scenario.market, supply.scenario.chutes[position]
    places, alone = program.row(float(room.copies[position]) / room.ticks), program.row(1.0)
    share = float(room.start_seconds[position]) / market.full_seconds
    pay = 2 * market.warmup_pay * (1 - CLAIM_SHARE) * share
    for kind in supply.types_of(chute):
        program.column(rate, [(places, 1.0), *supply.taken(hour, kind, chute.gpu_count, 1.0)])
        race = [(places, SHORTEST_START * share), (alone, 1.0)]
        race += supply.taken(hour, kind, chute.gpu_count, 1 + 2 * share)
        for opened in supply.opened[max(0, hour - 1) : hour + 1]:
            program.column(rate * (1 + pay), [*race, (opened, HOUR / market.full_seconds)])


def _kept_rates(rooms: Sequence[HourRoom]) -> list[Floats]:
    """Per hour, the highest multiplier that a copy of each chute can have, claimed then or earlier (drift of 21.6)."""
    best = [room.claimed.copy() for room in rooms]
    for first in range(len(rooms)):
        kept = rooms[first].claimed
        later = rooms[first + 1 : first + 1 + DRIFT_HOURS]
        for hours, room in enumerate(later):  # it may have been claimed at the very end of the first hour
            share = 1.0 - drifted(1.0, 0.0, hours)
            kept = kept * (1 - share) + room.refreshed * share
            best[first + 1 + hours] = np.maximum(best[first + 1 + hours], kept)
    return best
