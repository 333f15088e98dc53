"""Preemption: the cheapest set of victims on one server for a new copy (spec: gepetto 11, 22.6; rule 27.10). Pure.

All subsets of a server's preemptible copies are weighed at once, with NumPy, for every server together.
"""

from __future__ import annotations

from functools import cache
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


class Victims:
    """Every server's possible victims and what each subset of them frees and loses."""

    def __init__(self, snapshot: Snapshot, fleet: VirtualFleet) -> None:
        self.snapshot, self.fleet = snapshot, fleet
        count = len(snapshot.servers)
        self.by_server: list[list[DeploymentView]] = [[] for _ in range(count)]
        now, configuration, index = snapshot.now, fleet.configuration, fleet.columns.server_index
        # A copy that is the last one in the network can be in no set of victims, so that no set need be tried with it.
        spare = {chute.id for chute in snapshot.chutes if chute.global_active > 1}
        for deployment in snapshot.deployments:
            if deployment.chute_id in spare and may_be_victim(deployment, now, configuration):
                position = index.get(deployment.server_id)
                if position is not None:
                    self.by_server[position].append(deployment)
        gpus = np.zeros((MOST_VICTIMS, count))
        losses = np.full((MOST_VICTIMS, count), np.inf)
        for position, found in enumerate(self.by_server):
            if len(found) > MOST_VICTIMS:
                found.sort(key=lambda d: (d.multiplier / max(1, d.gpu_count), d.id))
                del found[MOST_VICTIMS:]
            for row, victim in enumerate(found):
                gpus[row, position] = victim.gpu_count
                losses[row, position] = victim.multiplier
        self.freed: Integers = (_subsets() @ gpus).astype(np.int64)
        absent = np.isinf(losses)
        self.loss: Floats = _subsets() @ np.where(absent, 0.0, losses)
        self.loss[_subsets() @ absent.astype(np.float64) > 0] = np.inf
        self.used: Booleans = np.zeros(count, dtype=np.bool_)
        self.taken: dict[str, int] = {}

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
        if not len(servers):
            return None
        most = self._most_loss(chute, servers)
        enough = self.freed[:, servers] + fleet.free[servers] >= view.gpu_count
        losses = np.where(enough, self.loss[:, servers], np.inf)
        cheapest = losses.min(axis=0)
        for position in np.argsort(cheapest, kind="stable"):
            if cheapest[position] < most[position]:
                swap = self._swap_on(chute, int(servers[position]), losses[:, position], float(most[position]))
                if swap is not None:
                    return swap
        return None

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
