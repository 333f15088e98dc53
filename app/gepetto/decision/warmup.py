"""Pulling images and models ahead, by expected value per gigabyte within a budget. Pure."""

from __future__ import annotations

import numpy as np

from app.gepetto.decision.intents import WarmUp
from app.gepetto.decision.virtual import VirtualFleet

_GIGABYTE = 1e9


def plan_warmups(fleet: VirtualFleet, budget_gb: float) -> list[WarmUp]:
    """Models worth having on open servers: start time saved, times likelihood of a launch, per gigabyte.

    The likelihood of a launch soon is the chute's load (utilisation, at most 1).
    """
    limits, columns = fleet.configuration.warm_up, fleet.columns
    saved_hours = columns.chute_floats[:, 2] / 3600 * (1 - fleet.configuration.value.cached_start_factor)
    told = np.asarray([chute.model_bytes / _GIGABYTE for chute in columns.chutes])
    gigabytes = np.where(told > 0, told, limits.assumed_gigabytes)
    likelihood = np.clip(columns.chute_floats[:, 6], 0.0, 1.0)
    value = columns.chute_floats[:, 0] * saved_hours * likelihood
    usable = ~columns.chute_blocked & (limits.on_tee | (columns.chute_integers[:, 5] == 0))
    per_gb = np.where(usable, value / gigabytes, 0.0)
    planned: list[WarmUp] = []
    for chute in np.argsort(-per_gb, kind="stable"):
        size = float(gigabytes[chute])
        if per_gb[chute] <= 0 or len(planned) >= limits.per_decision or size > budget_gb:
            break
        room = (fleet.disk - size >= limits.minimum_disk_free_gb) & ~columns.cached[chute]
        servers = np.flatnonzero(fleet.fits(int(chute)) & room)
        if len(servers):
            server = int(servers[np.argmax(fleet.disk[servers])])
            fleet.disk[server] -= size
            budget_gb -= size
            view = columns.chutes[int(chute)]
            planned.append(WarmUp(view.id, columns.servers[server].id, size, float(per_gb[chute])))
    return planned
