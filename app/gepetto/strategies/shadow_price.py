"""Greedy by value, and the default: the same against shadow prices of GPU types (spec: gepetto 22, 24.9). Pure."""

from __future__ import annotations

import numpy as np

from app.gepetto.decision.intents import Launch, Swap
from app.gepetto.strategies.base import Context, Strategy
from app.gepetto.strategies.packing import Layout, Wish, lay_out
from app.gepetto.world.columns import Floats, Integers


class GreedyValue(Strategy):
    """Best income per GPU-hour first, within the validator's allowance; no prices, no reserve."""

    name = "greedy_value"


class ShadowPrice(Strategy):
    """Prices each GPU type by the income of its marginal candidate, and uses the least needed type that serves.

    Places within the targets come first, and racers get what is left. Large chutes go before small ones where that
    fills more; near their target they may have whole servers kept free for them (`reserve_whole_servers`).
    """

    name = "shadow_price"

    def plan_launches(self, ctx: Context, budget: int) -> list[Launch]:
        fleet = ctx.fleet
        own_order = self._overrides("score", "scores", "rank_chutes", "rank_servers", "choose_gpus")
        if own_order or not (fleet.free > 0).any():
            return super().plan_launches(ctx, budget)
        scores = self.scores(ctx)
        by_score = np.argsort(-scores, kind="stable")
        with fleet.within_targets():
            planned = self._in_order(ctx, self._fullest_order(ctx, by_score, scores), scores, budget)
        return planned + self._in_order(ctx, by_score, scores, budget - len(planned))

    def plan_swaps(self, ctx: Context) -> list[Swap]:
        """Nothing is ended for a racer, which would soon be ended itself; an operator's own choice stays as it is."""
        if self._overrides("score", "scores", "choose_victims"):
            return super().plan_swaps(ctx)
        with ctx.fleet.within_targets():
            return super().plan_swaps(ctx)

    def _fullest_order(self, ctx: Context, by_score: Integers, scores: Floats) -> Integers:
        """By score, unless large chutes before small ones earn more in all.

        Small copies end up on every server and stay, so that a large chute that earns nearly as much per GPU fits on
        none, and GPUs stay idle once the small ones have what they want.
        """
        columns, fleet = ctx.columns, ctx.fleet
        wanted = by_score[np.isfinite(scores[by_score]) & (fleet.rooms[by_score] > 0)]
        gpus = columns.chute_integers[:, 0]
        if not (gpus[wanted] > 1).any():
            return by_score
        layout = self._layout(ctx, wanted, scores)
        if not layout.splinters:
            return by_score
        startable = [bool(gpus[chute] < 2 or self._may_start(ctx, int(chute))) for chute in wanted]
        wanted = wanted[np.asarray(startable, dtype=np.bool_)]
        large_first = wanted[np.argsort(-gpus[wanted], kind="stable")]
        if self._layout(ctx, large_first, scores).income > self._layout(ctx, wanted, scores).income:
            return large_first
        return by_score

    def _may_start(self, ctx: Context, chute: int) -> bool:
        """Whether any server may hold a copy, and the operator's file has nothing against it."""
        return bool(ctx.fleet.fits(chute).any()) and self._is_wanted(ctx, chute)

    def _layout(self, ctx: Context, order: Integers, scores: Floats) -> Layout:
        columns, fleet = ctx.columns, ctx.fleet
        kinds, standing = range(len(columns.gpu_types)), fleet.standing_prices
        choices = sorted(kinds, key=lambda kind: float(standing[kind]))
        rows = zip(
            columns.chute_integers[order, 0].tolist(),
            columns.chute_integers[order, 1].tolist(),
            fleet.rooms[order].tolist(),
            scores[order].tolist(),
            strict=True,
        )
        wishes = (
            Wish(size, tuple(kind for kind in choices if mask >> kind & 1), copies, rate)
            for size, mask, copies, rate in rows
        )
        open_rows = np.flatnonzero(fleet.placement.open_servers & (columns.server_integers[:, 0] >= 0))
        servers = zip(columns.server_integers[open_rows, 0].tolist(), fleet.free[open_rows].tolist(), strict=True)
        return lay_out(wishes, servers, len(kinds))

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
