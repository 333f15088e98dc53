"""What nobody could beat: a linear program per hour over the room that rivals left open (spec: gepetto 25.4).

Hindsight and relaxed: copies may be fractional, start and stop at no cost and never fail. So the true optimum is lower.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array, vstack

from app.gepetto.simulator.result import Result
from app.gepetto.simulator.scenario import Scenario


def hourly_bounds(scenario: Scenario, result: Result) -> list[float]:
    """Upper bound of the income of every hour of a run, in multiplier-hours."""
    kinds = sorted({server.gpu_type for server in scenario.servers})
    supply = np.asarray([sum(s.gpus for s in scenario.servers if s.gpu_type == kind) for kind in kinds], dtype=float)
    pairs = [(i, kinds.index(kind)) for i, c in enumerate(scenario.chutes) for kind in c.gpu_types if kind in kinds]
    chute_rows = np.asarray([i for i, _ in pairs])
    kind_rows = np.asarray([k for _, k in pairs])
    gpus = np.asarray([scenario.chutes[i].gpu_count for i, _ in pairs], dtype=float)
    columns = np.arange(len(pairs))
    of_kind = coo_array((gpus, (kind_rows, columns)), shape=(len(kinds), len(pairs)))
    of_chute = coo_array((np.ones(len(pairs)), (chute_rows, columns)), shape=(len(scenario.chutes), len(pairs)))
    limits = vstack([of_kind, of_chute]).tocsr()
    bounds = []
    for caps, rates in zip(result.caps, result.rates, strict=True):
        solved = linprog(-rates[chute_rows], A_ub=limits, b_ub=np.concatenate([supply, caps]), method="highs")
        bounds.append(float(-solved.fun) if solved.success else float("nan"))
    return bounds


def share_of_bound(scenario: Scenario, result: Result, *, skip_hours: int = 0) -> float:
    """Income as a share of the bound, without the first hours (steady state)."""
    bounds = hourly_bounds(scenario, result)
    hours = min(len(bounds), len(result.hourly))
    bound = sum(bounds[skip_hours:hours])
    return sum(result.hourly[skip_hours:hours]) / bound if bound else 1.0
