"""What nobody could beat who cannot foresee: a linear program over the room of a run (spec: gepetto 25.4).

Other miners' copies, the validator's targets and the moments at which bounties are born are those of the run. Relaxed:
copies may be fractional and never fail, public ones move from hour to hour at no cost and start in no time. So the true
optimum is lower. What it does count: GPUs in whole servers, servers that are away, multipliers that copies keep from
earlier hours, what a racer beyond the target takes, and what a bounty takes and is worth on average (`offers`).
docs/adr/0087 has the reasons for the last two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from app.gepetto.decision.configuration import SafetyConfiguration
from app.gepetto.simulator.chance import CLAIM_SHARE
from app.gepetto.simulator.ledger import drifted
from app.gepetto.simulator.linear import Entry, Program
from app.gepetto.simulator.offers import Offer, offer
from app.gepetto.simulator.result import Bounty, Floats, HourRoom, Result
from app.gepetto.simulator.scenario import HOUR, ChuteModel, Scenario

#: A chute of so many GPUs fits on whole groups of so many in one server only.
_SIZES: Final = (1, 2, 4, 8)
#: After so many hours an active copy has the chute's multiplier and nothing of its own.
_DRIFT_HOURS: Final = 8


def income_bound(
    scenario: Scenario, result: Result, safety: SafetyConfiguration | None = None, *, skip_hours: int = 0
) -> float:
    """Upper bound of a run's income after the first `skip_hours`, in multiplier-hours, by expectation.

    Args:
        scenario: fleet, chutes, market.
        result: the run whose room is filled.
        safety: how many copies may be ended.
        skip_hours: hours whose income does not count.
    """
    rooms = result.room[: len(result.hourly)]
    program = Program()
    limits = safety or SafetyConfiguration()
    windows = HOUR / limits.destructive_window_seconds
    supply = _Supply(program, scenario, rooms, windows * limits.most_endings(scenario.gpus))
    for hour, rates in enumerate(_kept_rates(rooms)):
        _public_copies(program, supply, hour, rates if hour >= skip_hours else np.zeros_like(rates))
    for bounty in result.bounties:
        if bounty.born_at < len(rooms) * HOUR:
            _private_copies(program, supply, bounty, skip_hours)
    return program.maximum()


def share_of_bound(
    scenario: Scenario, result: Result, safety: SafetyConfiguration | None = None, *, skip_hours: int = 0
) -> float:
    """Income as a share of the bound, without the first hours (steady state)."""
    bound = income_bound(scenario, result, safety, skip_hours=skip_hours)
    return sum(result.hourly[skip_hours : len(result.room)]) / bound if bound else 1.0


class _Supply:
    """GPUs of every type and hour, as limits, and how many of them stand ready for a bounty.

    For a start at a bounty's birth a GPU must stand ready. Births cannot be foreseen, so the chance that enough are
    ready is no more than the mean number of ready GPUs by the number wanted. Ready is what is not used, and for one run
    of the autoscaler what a copy has left: it may wait for the next birth, or serve the last one nearly in time.
    """

    def __init__(self, program: Program, scenario: Scenario, rooms: Sequence[HourRoom], endings: float) -> None:
        self.scenario, self.rooms, self.endings = scenario, rooms, endings
        self.types = sorted({server.gpu_type for server in scenario.servers})
        cells = [(hour, kind) for hour in range(len(rooms)) for kind in self.types]
        self._groups = {
            (cell, size): program.row(_supply(scenario, rooms[cell[0]], cell[1], size))
            for cell in cells
            for size in _SIZES
        }
        self._free = {cell: program.row(_supply(scenario, rooms[cell[0]], cell[1], 1)) for cell in cells}
        self._ready = {cell: program.column(0.0, [(self._free[cell], 1.0)]) for cell in cells}

    def types_of(self, chute: ChuteModel) -> list[str]:
        """GPU types of the fleet that serve a chute."""
        return [kind for kind in self.types if kind in chute.gpu_types]

    def taken(self, hour: int, kind: str, gpus: int, copy_hours: float, ready_hours: float = 0.0) -> list[Entry]:
        """What copies of so many GPUs take of an hour; for `ready_hours` of it the GPUs count as ready too."""
        groups = [self._groups[(hour, kind), size] for size in _SIZES if gpus >= size]
        whole = [(row, gpus * copy_hours) for row in groups]
        return [*whole, (self._free[hour, kind], gpus * (copy_hours - ready_hours))]

    def ready(self, program: Program, hour: int, kind: str, gpus: int) -> Entry:
        """What a start takes that begins when its bounty is born: a chance of its own, out of the ready GPUs' mean."""
        ended = gpus * (self.endings + self.rooms[hour].opened) * self.scenario.market.soft_seconds / HOUR
        return program.row(ended, [(self._ready[hour, kind], -1.0)]), float(gpus)


def _supply(scenario: Scenario, room: HourRoom, kind: str, size: int) -> float:
    """GPUs of a type in groups of that size, as far as their servers were there."""
    there = room.there / room.ticks
    return float(sum(s.gpus // size * size * there[j] for j, s in enumerate(scenario.servers) if s.gpu_type == kind))


def _public_copies(program: Program, supply: _Supply, hour: int, rates: Floats) -> None:
    """Copies within the target, and racers beyond it.

    The validator lets a racer start only while a place is open (spec: gepetto 14.5), and ends it in its next full run.
    So it takes a moment with an open place, two starts at once, during the first of which the place earns nothing, and
    gives the rest of the time between two full runs at most. A place becomes open by itself, or by ending a copy.
    """
    room, market = supply.rooms[hour], supply.scenario.market
    opened = program.row(supply.endings + room.opened)
    for position in np.flatnonzero(room.copies > 0):
        chute, rate = supply.scenario.chutes[position], float(rates[position])
        places, turns = program.row(room.copies[position] / room.ticks), program.row(1.0)
        start = float(room.start_seconds[position])
        left = market.full_seconds - start
        pay = 2 * market.warmup_pay * (1 - CLAIM_SHARE) * start / left
        for kind in supply.types_of(chute):
            program.column(rate, [(places, 1.0), *supply.taken(hour, kind, chute.gpu_count, 1.0)])
            if left > 0:
                taken = supply.taken(hour, kind, chute.gpu_count, 1 + 2 * start / left)
                race = [(places, start / left), (turns, market.full_seconds / left), (opened, HOUR / left)]
                program.column(rate * (1 + pay), [*race, *taken])


def _private_copies(program: Program, supply: _Supply, bounty: Bounty, skip_hours: int) -> None:
    """One start for a bounty: at its birth, or after the shutdown of what had to end for it."""
    scenario, hours = supply.scenario, len(supply.rooms)
    chute, market, born = scenario.chutes[bounty.chute], scenario.market, int(bounty.born_at // HOUR)
    once = program.row(1.0)
    for late_seconds in (0.0, market.shutdown_seconds):
        found = offer(bounty, chute, market, hours, late_seconds)
        worth = float(found.income[skip_hours:].sum()) + found.warm_up_income * (born >= skip_hours)
        for kind in supply.types_of(chute):
            taken = _taken_by(supply, found, kind, chute.gpu_count, born)
            ready = [] if late_seconds else [supply.ready(program, born, kind, chute.gpu_count)]
            program.column(worth, [(once, 1.0), *taken, *ready])


def _taken_by(supply: _Supply, found: Offer, kind: str, gpus: int, born: int) -> list[Entry]:
    """GPUs by hour: the start and its shutdown in the first, the life of what was won later on."""
    ready_hours = supply.scenario.market.soft_seconds / HOUR
    taken = supply.taken(born, kind, gpus, found.start_hours + found.shutdown_hours, ready_hours)
    for hour in np.flatnonzero(found.copy_hours > 0):
        taken += supply.taken(int(hour), kind, gpus, float(found.copy_hours[hour]))
    return taken


def _kept_rates(rooms: Sequence[HourRoom]) -> list[Floats]:
    """Per hour, the highest multiplier that a copy of each chute can have, claimed then or earlier (drift of 21.6)."""
    best = [room.claimed.copy() for room in rooms]
    for first in range(len(rooms)):
        kept = rooms[first].claimed
        later = rooms[first + 1 : first + 1 + _DRIFT_HOURS]
        for hours, room in enumerate(later):  # it may have been claimed at the very end of the first hour
            share = 1.0 - drifted(1.0, 0.0, hours)
            kept = kept * (1 - share) + room.plain * share
            best[first + 1 + hours] = np.maximum(best[first + 1 + hours], kept)
    return best
