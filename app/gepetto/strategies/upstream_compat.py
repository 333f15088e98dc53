"""The public miner's strategy with its defects fixed, for like-for-like comparison (spec: gepetto 10 to 13). Pure.

One launch per pass, one pending copy per chute, value over cost; a bounty wants one copy and may preempt.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from app.gepetto.decision.intents import Intent, Launch, Swap
from app.gepetto.decision.victims import may_be_victim
from app.gepetto.strategies.base import Context, Strategy
from app.gepetto.world.views import DeploymentView

COST_FLOOR_USD: Final = 0.01
CANDIDATE_POOL: Final = 2


class UpstreamCompat(Strategy):
    name = "upstream_compat"

    #: The public file's comment offers the multiplier alone as another value formula.
    divide_by_cost = True

    def plan(self, ctx: Context) -> list[Intent]:
        intents: list[Intent] = list(self.plan_jobs(ctx))
        for chute in np.flatnonzero(ctx.fleet.rooms > 0):
            view = ctx.snapshot.chutes[int(chute)]
            if not view.bounty or view.my_active + view.my_pending:
                continue
            server = self.best_server(ctx, int(chute))
            if server is not None:
                intents.append(ctx.fleet.launch(int(chute), server, "bounty"))
            elif ctx.configuration.swap.enabled:
                swap = self._preempt(ctx, int(chute))
                intents += [] if swap is None else [swap]
        intents += self.plan_launches(ctx, 1)
        return intents

    def plan_launches(self, ctx: Context, budget: int) -> list[Launch]:
        rooms = (ctx.fleet.rooms > 0) & ~ctx.columns.chute_blocked
        candidates: list[tuple[float, int, int]] = []
        for chute in np.flatnonzero(rooms):
            if ctx.snapshot.chutes[int(chute)].my_pending:
                continue
            server = self.best_server(ctx, int(chute))
            if server is not None:
                candidates.append((-self._value(ctx, int(chute), server), int(chute), server))
        candidates.sort()
        return [ctx.fleet.launch(chute, server, "scale") for _, chute, server in candidates[:budget]]

    def best_server(self, ctx: Context, chute: int) -> int | None:
        """Cheapest, then tightest, and of the first two one by the seed."""
        rows = np.flatnonzero(ctx.fleet.open_for(chute))
        if not len(rows):
            return None
        order = np.lexsort((rows, ctx.fleet.free[rows], ctx.fleet.placement.costs[rows]))
        pool = rows[order[:CANDIDATE_POOL]]
        return int(pool[(ctx.snapshot.seed + chute) % len(pool)])

    def _value(self, ctx: Context, chute: int, server: int) -> float:
        multiplier = float(ctx.columns.chute_floats[chute, 0])
        if not self.divide_by_cost:
            return multiplier
        cost = max(float(ctx.fleet.placement.costs[server]), COST_FLOOR_USD)
        return multiplier / (cost * int(ctx.columns.chute_integers[chute, 0]))

    def _preempt(self, ctx: Context, chute: int) -> Swap | None:
        """The first server in order on which ending weaker copies, one by one, frees enough GPUs."""
        view = ctx.snapshot.chutes[chute]
        rows = np.flatnonzero(ctx.fleet.fits(chute) & (ctx.columns.server_integers[:, 2] >= view.gpu_count))
        order = np.lexsort((rows, ctx.fleet.free[rows], ctx.fleet.placement.costs[rows]))
        for row in rows[order]:
            picked = self._pick(ctx, int(row), chute)
            if picked:
                mask = ctx.fleet.masks[int(row)]
                for victim in picked:
                    mask |= victim.gpu_mask
                chosen = 0
                for _ in range(view.gpu_count):
                    lowest = mask & -mask
                    chosen, mask = chosen | lowest, mask ^ lowest
                launch = ctx.fleet.launch(chute, int(row), "bounty", mask=chosen)
                ctx.victims.used[int(row)] = True
                return Swap(tuple(victim.id for victim in picked), launch)
        return None

    @staticmethod
    def _pick(ctx: Context, row: int, chute: int) -> list[DeploymentView]:
        view = ctx.snapshot.chutes[chute]
        if ctx.victims.used[row]:
            return []
        free, picked = int(ctx.fleet.free[row]), list[DeploymentView]()
        left: dict[str, int] = {}
        for victim in sorted(ctx.victims.by_server[row], key=lambda d: (d.multiplier, d.id)):
            position = ctx.columns.chute_index.get(victim.chute_id)
            if position is None or victim.chute_id == view.id or victim.multiplier >= view.m_eff:
                continue
            remaining = left.setdefault(victim.chute_id, ctx.snapshot.chutes[position].global_active)
            if remaining <= 1 or not may_be_victim(victim, ctx.now, ctx.configuration):
                continue
            left[victim.chute_id] = remaining - 1
            picked.append(victim)
            free += victim.gpu_count
            if free >= view.gpu_count:
                return picked
        return []


class UpstreamMultiplier(UpstreamCompat):
    """The alternative value formula that the public file's comment offers: the multiplier alone."""

    name = "upstream_multiplier"
    divide_by_cost = False
