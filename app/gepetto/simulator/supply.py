"""GPUs of a run as limits of a linear program, and how many of them stand ready for a bounty (spec: gepetto 25.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.gepetto.simulator.linear import Entry, Program
from app.gepetto.simulator.result import HourRoom
from app.gepetto.simulator.scenario import HOUR, ChuteModel, Scenario

#: A chute of so many GPUs fits on whole groups of so many in one server only.
_SIZES: Final = (1, 2, 4, 8)


class Supply:
    """GPUs of every type and hour, as limits, and how many of them stand ready for a bounty.

    For a start at a bounty's birth a GPU must stand ready. Births cannot be foreseen, so the chance that enough are
    ready is no more than the mean number of ready GPUs by the number wanted. Ready is what is not used, and for one run
    of the autoscaler what a copy has left: it may wait for the next birth, or serve the last one nearly in time.
    """

    def __init__(self, program: Program, scenario: Scenario, rooms: Sequence[HourRoom], endings: float) -> None:
        self.scenario, self.rooms, self.endings = scenario, rooms, endings
        self.types = sorted({server.gpu_type for server in scenario.servers})
        self.opened = [program.row(endings + room.opened) for room in rooms]
        cells = [(hour, kind) for hour in range(len(rooms)) for kind in self.types]
        self._groups = {
            (cell, size): program.row(gpus_there(scenario, rooms[cell[0]], cell[1], size))
            for cell in cells
            for size in _SIZES
        }
        self._free = {cell: program.row(gpus_there(scenario, rooms[cell[0]], cell[1], 1)) for cell in cells}
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
        market = self.scenario.market
        waits = max(0.0, market.soft_seconds - market.shutdown_seconds) / HOUR
        ended = gpus * (self.endings + self.rooms[hour].gone) * waits
        return program.row(ended, [(self._ready[hour, kind], -1.0)]), float(gpus)


def gpus_there(scenario: Scenario, room: HourRoom, kind: str, size: int) -> float:
    """GPUs of a type in groups of that size, as far as their servers were there."""
    there = room.there / room.ticks
    return float(sum(s.gpus // size * size * there[j] for j, s in enumerate(scenario.servers) if s.gpu_type == kind))
