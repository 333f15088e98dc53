"""A copy of the servers that fills up while a decision plans, so that each choice sees the earlier ones. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import numpy as np

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.eligibility import Placement, fitting_servers, placement_of, rooms
from app.gepetto.decision.experience import NO_EXPERIENCE, Experience
from app.gepetto.decision.intents import Launch
from app.gepetto.decision.valuation import expectations, launch_rates
from app.gepetto.world.columns import Booleans, Columns, Floats, Integers
from app.gepetto.world.snapshot import Snapshot

_NOWHERE = np.int64(2) ** 62


def choose_mask(free_mask: int, gpus: int, total: int) -> int:
    """The GPUs to take: within the half of the server that fits tightest, else the lowest free ones.

    Halves are the sockets of the usual eight-GPU machine: host memory then stays local (spec: gepetto 17.1).
    """
    half = max(1, total // 2)
    halves = [free_mask & ((1 << half) - 1), free_mask & ~((1 << half) - 1)]
    fitting = sorted((mask for mask in halves if mask.bit_count() >= gpus), key=lambda mask: mask.bit_count())
    source = fitting[0] if fitting and gpus <= half else free_mask
    chosen = 0
    for _ in range(gpus):
        lowest = source & -source
        chosen |= lowest
        source ^= lowest
    return chosen


class VirtualFleet:
    """Free GPUs, starts, disk and rooms as they will be once the intents planned so far are done."""

    def __init__(
        self,
        snapshot: Snapshot,
        columns: Columns,
        configuration: Configuration,
        experience: Experience = NO_EXPERIENCE,
    ) -> None:
        self.snapshot, self.columns, self.configuration = snapshot, columns, configuration
        self.placement: Placement = placement_of(snapshot, columns, configuration)
        self.rooms: Integers = rooms(columns, snapshot.now, configuration)
        self.expected = expectations(columns, configuration, experience)
        self.rates = launch_rates(columns, configuration, self.expected)
        self.free = columns.server_integers[:, 1].copy()
        self.starts = columns.server_integers[:, 6].copy()
        self.disk = columns.server_floats[:, 3].copy()
        self.masks = [server.free_mask for server in snapshot.servers]
        self.reserved_whole = 0
        self.planned = 0
        costs = self.placement.costs
        self._cost_rank = np.searchsorted(np.unique(costs), costs) if len(costs) else costs.astype(np.int64)
        self._fits: dict[int, Booleans] = {}

    @cached_property
    def standing_prices(self) -> Floats:
        """By GPU type, mean rate of all that it could serve if there were room: what its GPUs are worth later on."""
        columns = self.columns
        usable = ~columns.chute_blocked
        found = np.zeros(len(columns.gpu_types))
        for kind in range(len(found)):
            serves = usable & ((columns.chute_integers[:, 1] >> kind) & 1 == 1)
            found[kind] = float(self.rates[serves].mean()) if serves.any() else 0.0
        return found

    def fits(self, chute: int) -> Booleans:
        """Servers that suit the chute apart from what fills up."""
        known = self._fits.get(chute)
        if known is None:
            known = self._fits[chute] = fitting_servers(self.columns, self.placement, chute, self.configuration)
        return known

    def open_for(self, chute: int, disk_gb: int | None = None) -> Booleans:
        """Servers on which one more copy of the chute can be started now."""
        limits = self.configuration.placement
        gpus = self.columns.chute_integers[chute, 0]
        return np.asarray(
            self.fits(chute)
            & (self.free >= gpus)
            & (self.starts < limits.starts_per_server)
            & (self.disk >= (disk_gb or limits.default_disk_gb))
        )

    def best_server(
        self, chute: int, disk_gb: int | None = None, type_order: Sequence[int] | None = None
    ) -> int | None:
        """Least harm first: keeps whole servers whole, has the model, starts little, costs little, fits tightly.

        `type_order` puts GPU types before all that, the type to be used first in front.
        """
        candidates = self.open_for(chute, disk_gb)
        if not candidates.any():
            return None
        total = self.columns.server_integers[:, 2]
        gpus = self.columns.chute_integers[chute, 0]
        whole = (self.free == total) & (gpus < total)
        if self.reserved_whole and whole.any() and gpus < 8:
            keep = np.flatnonzero(whole & self.placement.open_servers)[: self.reserved_whole]
            candidates = candidates.copy()
            candidates[keep] = False
            if not candidates.any():
                return None
        cold = ~self.columns.cached[chute]
        key = ((whole * 2 + cold) * 64 + np.minimum(self.starts, 63)) * 4096 + self._cost_rank
        if type_order is not None:
            ranks = np.zeros(len(self.columns.gpu_types) or 1, dtype=np.int64)
            ranks[list(type_order)] = np.arange(len(type_order))
            key = key + ranks[np.maximum(self.columns.server_integers[:, 0], 0)] * (1 << 24)
        key = np.where(candidates, key * 64 + np.minimum(self.free, 63), _NOWHERE)
        return int(np.argmin(key))

    @contextmanager
    def within_targets(self) -> Iterator[None]:
        """For a while, no room for racers: copies beyond the target, of which the validator soon ends one again."""
        racers = np.minimum(self.columns.chute_integers[:, 8], self.rooms)
        self.rooms = self.rooms - racers
        try:
            yield
        finally:
            self.rooms = self.rooms + racers

    def launch(self, chute: int, server: int, reason: str, *, mask: int | None = None, disk_gb: int | None = None,
               job_id: str | None = None) -> Launch:  # fmt: skip
        """Plan one copy there and account for it."""
        view, target = self.snapshot.chutes[chute], self.snapshot.servers[server]
        taken = choose_mask(self.masks[server], view.gpu_count, target.gpu_total) if mask is None else mask
        disk = disk_gb or self.configuration.placement.default_disk_gb
        self.masks[server] &= ~taken
        self.free[server] = self.masks[server].bit_count()
        self.starts[server] += 1
        self.disk[server] -= disk
        self.planned += 1
        if job_id is None:
            self.rooms[chute] -= 1
        return Launch(view.id, view.version, target.id, taken, reason, float(self.rates[chute]), job_id, disk)
