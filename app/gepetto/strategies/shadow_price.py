"""Greedy by value, and the default: the same against shadow prices of GPU types (spec: gepetto 22, 24.9). Pure."""

from __future__ import annotations

import numpy as np

from app.gepetto.decision.intents import Swap
from app.gepetto.strategies.base import Context, Strategy
from app.gepetto.world.columns import Floats


class GreedyValue(Strategy):
    """Best income per GPU-hour first, within the validator's allowance; no prices, no reserve."""

    name = "greedy_value"


class ShadowPrice(Strategy):
    """Prices each GPU type by the income of its marginal candidate, and uses the least needed type that serves.

    Large chutes near their target may have whole servers kept free for them (`reserve_whole_servers`).
    """

    name = "shadow_price"

    def scores(self, ctx: Context) -> Floats:
        scores = super().scores(ctx)
        if not self._overrides("score"):
            prices, standing = self.prices(ctx, scores), ctx.fleet.standing_prices
            ctx.notes["prices"] = {name: float(prices[k]) for k, name in enumerate(ctx.columns.gpu_types)}
            ctx.notes["standing"] = {name: float(standing[k]) for k, name in enumerate(ctx.columns.gpu_types)}
            self._reserve(ctx, scores)
        return scores

    def best_server(self, ctx: Context, chute: int) -> int | None:
        prices, standing = ctx.notes.get("prices"), ctx.notes.get("standing")
        types = int(ctx.columns.chute_integers[chute, 1])
        if not isinstance(prices, dict) or not isinstance(standing, dict) or types.bit_count() < 2:
            return ctx.fleet.best_server(chute)
        names = ctx.columns.gpu_types
        order = sorted(
            (k for k in range(len(names)) if types >> k & 1),
            key=lambda k: (prices.get(names[k], 0.0), standing.get(names[k], 0.0), k),
        )
        return ctx.fleet.best_server(chute, type_order=order)

    def prices(self, ctx: Context, scores: Floats) -> Floats:
        """Income per GPU-hour of the marginal candidate of every GPU type; 0 where supply exceeds demand.

        All rooms are laid on the free GPUs of each type in one sweep over the sorted candidates. A chute that several
        types can serve counts for the type with the smallest price so far.
        """
        columns, fleet = ctx.columns, ctx.fleet
        kinds = len(columns.gpu_types)
        supply = np.bincount(
            np.maximum(columns.server_integers[:, 0], 0),
            weights=np.where(fleet.placement.open_servers, fleet.free, 0),
            minlength=kinds,
        )
        wanted = np.flatnonzero(np.isfinite(scores))
        order = wanted[np.argsort(-scores[wanted], kind="stable")]
        demand = columns.chute_integers[order, 0] * fleet.rooms[order]
        masks = columns.chute_integers[order, 1]
        prices = np.zeros(kinds)
        for kind in sorted(range(kinds), key=lambda k: supply[k]):
            serves = (masks >> kind) & 1 == 1
            needed = np.cumsum(np.where(serves, demand, 0))
            beyond = np.flatnonzero(serves & (needed > supply[kind]))
            if len(beyond):
                prices[kind] = scores[order[beyond[0]]]
            else:
                masks = np.where(serves, 0, masks)  # this type serves them all: they press on no other
        return prices

    def _reserve(self, ctx: Context, scores: Floats) -> None:
        limits = ctx.configuration.placement
        if not limits.reserve_whole_servers:
            return
        best = float(np.max(scores, initial=-np.inf))
        integers = ctx.columns.chute_integers
        near = (integers[:, 0] >= 8) & (ctx.columns.chute_floats[:, 6] >= limits.reserve_load)
        near &= ~ctx.columns.chute_blocked & (ctx.fleet.rates > best)
        ctx.fleet.reserved_whole = min(limits.reserve_whole_servers, int(near.sum()))


class Conservative(ShadowPrice):
    """As the default, but it never ends anything."""

    name = "conservative"

    def plan_swaps(self, ctx: Context) -> list[Swap]:  # noqa: ARG002 - a hook's signature
        return []
