"""Preemption: the cheapest set of victims on one server for a new copy (spec: gepetto 11, 22.6; rule 27.10). Pure.

All subsets of a server's preemptible copies are weighed at once, with NumPy, for every server together.
"""

from __future__ import annotations

from functools import cache, cached_property
from typing import Final

import numpy as np

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.intents import Swap
from app.gepetto.decision.valuation import SwapCandidate, most_loss, swap_gain
from app.gepetto.decision.virtual import VirtualFleet, choose_mask
from app.gepetto.world.columns import Booleans, Floats, Integers
from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import DeploymentState, DeploymentView

#: Copies weighed per server; 2^8 subsets. A server with more small copies offers its eight cheapest per GPU.
MOST_VICTIMS: Final = 8


@cache
def _subsets() -> Floats:
    """(256, 8): row i says which victims subset i takes; the empty one first, small ones before large ones."""
    numbers = sorted(range(1 << MOST_VICTIMS), key=lambda n: (n.bit_count(), n))
    return np.asarray([[(n >> bit) & 1 for bit in range(MOST_VICTIMS)] for n in numbers], dtype=np.float64)


def may_be_victim(deployment: DeploymentView, now: float, configuration: Configuration) -> bool:
    """The hard rules that concern the copy alone: active and paid, public, preemptible, no job."""
    return (
        deployment.state is DeploymentState.ACTIVE
        and deployment.public
        and deployment.preemptible
        and deployment.job_id is None
        and deployment.activated_at is not None
        and now - deployment.activated_at >= configuration.swap.minimum_age_seconds
    )


def _rate(row: DeploymentView) -> float:
    """What a copy earns per GPU."""
    return row.multiplier / (row.gpu_mask.bit_count() or 1)


def _by_server(snapshot: Snapshot, fleet: VirtualFleet) -> list[list[DeploymentView]]:
    """Every server's possible victims, the cheapest per GPU; `may_be_victim` without a call for each of the rows.

    A copy that is the last one in the network can be in no set of victims, so that no set need be tried with it.
    """
    index, active = fleet.columns.server_index, DeploymentState.ACTIVE
    latest = snapshot.now - fleet.configuration.swap.minimum_age_seconds
    spare = {chute.id for chute in snapshot.chutes if chute.global_active > 1}
    found: list[list[DeploymentView]] = [[] for _ in snapshot.servers]
    for row in snapshot.deployments:
        since = row.activated_at
        if row.public and since is not None and since <= latest and row.state is active and row.chute_id in spare:
            position = index.get(row.server_id)
            if position is not None and row.preemptible and row.job_id is None:
                found[position].append(row)
    return [_cheapest(rows) for rows in found]


def _cheapest(rows: list[DeploymentView]) -> list[DeploymentView]:
    """As many as are tried, in their order where all are."""
    if len(rows) <= MOST_VICTIMS:
        return rows
    return sorted(rows, key=lambda row: (_rate(row), row.id))[:MOST_VICTIMS]


class Victims:
    """Every server's possible victims and what each subset of them frees and loses."""

    def __init__(self, snapshot: Snapshot, fleet: VirtualFleet) -> None:
        self.snapshot, self.fleet = snapshot, fleet
        self.by_server = _by_server(snapshot, fleet)
        self.used: Booleans = np.zeros(len(snapshot.servers), dtype=np.bool_)
        self.taken: dict[str, int] = {}
        self._losses: dict[tuple[int, int], tuple[Floats, Floats]] = {}

    @cached_property
    def _subset_sums(self) -> tuple[Floats, Floats]:
        """Per subset and server: GPUs freed, and multipliers lost (infinity where a victim is not there)."""
        count = len(self.by_server)
        gpus, losses = np.zeros((MOST_VICTIMS, count)), np.full((MOST_VICTIMS, count), np.inf)
        for position, found in enumerate(self.by_server):
            if found:
                gpus[: len(found), position] = [victim.gpu_count for victim in found]
                losses[: len(found), position] = [victim.multiplier for victim in found]
        absent = np.isinf(losses)
        loss = _subsets() @ np.where(absent, 0.0, losses)
        loss[_subsets() @ absent.astype(np.float64) > 0] = np.inf
        return _subsets() @ gpus, loss

    @cached_property
    def _least_rates(self) -> Floats:
        """Per server, the least that any victim earns per GPU: no subset loses less for a GPU that it frees."""
        least = np.asarray([min(map(_rate, found), default=np.inf) for found in self.by_server])
        return least * (1 - 1e-9)  # sums of rounded numbers may be a little smaller

    def choose(self, chute: int) -> Swap | None:
        """The swap with the smallest loss for one more copy of this chute, or None where nothing pays."""
        columns, fleet = self.fleet.columns, self.fleet
        view = self.snapshot.chutes[chute]
        limits = fleet.configuration.placement
        servers = np.flatnonzero(
            fleet.fits(chute)
            & ~self.used
            & (fleet.starts < limits.starts_per_server)
            & (fleet.disk >= limits.default_disk_gb)
            & (columns.server_integers[:, 2] >= view.gpu_count)
        )
        most = self._most_loss(chute, servers)
        missing = np.maximum(view.gpu_count - fleet.free[servers], 1)
        if not (self._least_rates[servers] * missing < most).any():
            return None  # nearly every time, and known without a look at any subset
        losses, best = self._losses_for(view.gpu_count)
        cheapest = best[servers]
        paying = np.flatnonzero(cheapest < most)
        for position in paying[np.argsort(cheapest[paying], kind="stable")]:
            server = int(servers[position])
            swap = self._swap_on(chute, server, losses[:, server], float(most[position]))
            if swap is not None:
                return swap
        return None

    def _losses_for(self, gpus: int) -> tuple[Floats, Floats]:
        """What each subset on each server loses where it frees so many GPUs, and each server's least loss.

        Chutes of one size share them until something more is planned.
        """
        key = (gpus, self.fleet.planned)
        if key not in self._losses:
            freed, loss = self._subset_sums
            losses = np.where(freed + self.fleet.free >= gpus, loss, np.inf)
            self._losses[key] = losses, losses.min(axis=0)
        return self._losses[key]

    def _most_loss(self, chute: int, servers: Integers) -> Floats:
        """By server, from which loss on a swap is out of the question: it earns more than the copy, or does not pay."""
        configuration = self.fleet.configuration
        view = self.snapshot.chutes[chute]
        cold, cached = (
            min(view.m_eff, most_loss(self._candidate(chute, cached=has_model), configuration))
            for has_model in (False, True)
        )
        return np.where(self.fleet.columns.cached[chute, servers], cached, cold)

    def _candidate(self, chute: int, *, cached: bool) -> SwapCandidate:
        view, expected = self.snapshot.chutes[chute], self.fleet.expected
        factor = self.fleet.configuration.value.cached_start_factor if cached else 1.0
        return SwapCandidate(
            view.m_eff,
            view.m_target,
            float(expected.start_seconds[chute]) * factor,
            float(expected.hours[chute]),
            float(expected.success[chute]),
        )

    def _swap_on(self, chute: int, server: int, losses: Floats, most: float) -> Swap | None:
        """The cheapest allowed set of victims on one server, if it loses less than `most`."""
        view = self.snapshot.chutes[chute]
        for row in np.argsort(losses, kind="stable"):
            loss = float(losses[row])
            if not loss < most:
                return None
            victims = [v for bit, v in enumerate(self.by_server[server]) if _subsets()[row, bit]]
            if not victims or not self._are_allowed(view.id, victims):
                continue
            candidate = self._candidate(chute, cached=bool(self.fleet.columns.cached[chute, server]))
            gain = swap_gain(candidate, loss, self.fleet.configuration)
            return self._plan(chute, server, victims, gain)
        return None

    def _are_allowed(self, chute_id: str, victims: list[DeploymentView]) -> bool:
        """Never the last active copy of a chute in the network, and never the same chute for itself."""
        counts: dict[str, int] = {}
        for victim in victims:
            counts[victim.chute_id] = counts.get(victim.chute_id, 0) + 1
        if chute_id in counts:
            return False
        for victim_chute, count in counts.items():
            position = self.fleet.columns.chute_index.get(victim_chute)
            if position is None:
                return False  # a chute that the validator no longer lists: its own ending is paid, ours may not be
            left = self.snapshot.chutes[position].global_active - self.taken.get(victim_chute, 0) - count
            if left < 1:
                return False
        return True

    def _plan(self, chute: int, server: int, victims: list[DeploymentView], gain: float) -> Swap:
        self.used[server] = True
        freed = self.fleet.masks[server]
        for victim in victims:
            freed |= victim.gpu_mask
            self.taken[victim.chute_id] = self.taken.get(victim.chute_id, 0) + 1
        target, view = self.snapshot.servers[server], self.snapshot.chutes[chute]
        mask = choose_mask(freed, view.gpu_count, target.gpu_total)
        launch = self.fleet.launch(chute, server, "swap", mask=mask)
        return Swap(tuple(victim.id for victim in victims), launch, gain)
