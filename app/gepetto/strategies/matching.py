"""An assignment of all open rooms to all free GPUs at once, by a linear program (spec: gepetto 24.2). Pure.

For up to some thousand pairs; what the program leaves fractional is rounded down and filled greedily.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array, vstack

from app.gepetto.decision.intents import Launch
from app.gepetto.strategies.base import Context
from app.gepetto.strategies.shadow_price import ShadowPrice

MOST_PAIRS: Final = 4000


class Matching(ShadowPrice):
    name = "matching"

    def plan_launches(self, ctx: Context, budget: int) -> list[Launch]:
        planned: list[Launch] = []
        with ctx.fleet.within_targets():
            pairs = self._pairs(ctx)
            for chute, server, copies in self._solve(ctx, pairs) if len(pairs) > 1 else ():
                for _ in range(copies):
                    if len(planned) < budget and ctx.fleet.rooms[chute] > 0 and ctx.fleet.open_for(chute)[server]:
                        planned.append(ctx.fleet.launch(chute, server, self._reason(ctx, chute)))
        return planned + super().plan_launches(ctx, budget - len(planned))

    def _pairs(self, ctx: Context) -> list[tuple[int, int]]:
        scores = self.scores(ctx)
        pairs: list[tuple[int, int]] = []
        for chute in np.argsort(-scores, kind="stable"):
            if not np.isfinite(scores[chute]) or len(pairs) >= MOST_PAIRS:
                break
            pairs += [(int(chute), int(server)) for server in np.flatnonzero(ctx.fleet.open_for(int(chute)))]
        return pairs[:MOST_PAIRS]

    @staticmethod
    def _solve(ctx: Context, pairs: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
        """Whole copies per pair of the relaxed program, largest income first."""
        chutes, chute_rows = np.unique([chute for chute, _ in pairs], return_inverse=True)
        servers, server_rows = np.unique([server for _, server in pairs], return_inverse=True)
        gpus = ctx.columns.chute_integers[[chute for chute, _ in pairs], 0].astype(np.float64)
        incomes = ctx.fleet.rates[[chute for chute, _ in pairs]] * gpus
        columns = np.arange(len(pairs))
        room_limits = coo_array((np.ones(len(pairs)), (chute_rows, columns)), shape=(len(chutes), len(pairs)))
        gpu_limits = coo_array((gpus, (server_rows, columns)), shape=(len(servers), len(pairs)))
        starts = ctx.configuration.placement.starts_per_server - ctx.fleet.starts[servers]
        start_limits = coo_array((np.ones(len(pairs)), (server_rows, columns)), shape=(len(servers), len(pairs)))

        result = linprog(
            -incomes,
            A_ub=vstack([room_limits, gpu_limits, start_limits]).tocsr(),
            b_ub=np.concatenate([ctx.fleet.rooms[chutes], ctx.fleet.free[servers], starts]),
            method="highs-ds",
        )
        if not result.success:
            return []
        found = [(chute, server, int(x + 1e-6)) for (chute, server), x in zip(pairs, result.x, strict=True)]
        return sorted((item for item in found if item[2]), key=lambda item: (-ctx.fleet.rates[item[0]], item))
