"""Strategies that only the simulator uses, to compare with (spec: gepetto 25.4)."""

from __future__ import annotations

from typing import Final

import numpy as np

from app.gepetto.decision.configuration import Configuration, StrategyName
from app.gepetto.decision.intents import Intent, Swap
from app.gepetto.strategies import Strategy, built_in
from app.gepetto.strategies.base import Context
from app.gepetto.strategies.upstream_compat import UpstreamMultiplier
from app.gepetto.world.columns import Floats

#: The public miner's pause between two passes.
UPSTREAM_SECONDS: Final = 15.0


class RandomFeasible(Strategy):
    """Any chute that fits, in an order drawn from the snapshot's seed; never preempts."""

    name = "random"

    def scores(self, ctx: Context) -> Floats:
        draws = np.random.default_rng(ctx.snapshot.seed).random(len(ctx.snapshot.chutes))
        return np.where(ctx.fleet.rooms > 0, draws, -np.inf)

    def plan(self, ctx: Context) -> list[Intent]:
        return list(self.plan_launches(ctx, ctx.configuration.placement.launches_per_decision))

    def plan_swaps(self, ctx: Context) -> list[Swap]:  # noqa: ARG002 - a hook's signature
        return []


class GreedyMultiplier(Strategy):
    """The highest multiplier first, whatever GPUs it takes."""

    name = "greedy_multiplier"

    def scores(self, ctx: Context) -> Floats:
        return np.where(ctx.fleet.rooms > 0, ctx.columns.chute_floats[:, 0], -np.inf)


NAMES: Final = (
    "random",
    "upstream_compat",
    "upstream_multiplier",
    "greedy_multiplier",
    "greedy_value",
    "conservative",
    "matching",
    "shadow_price",
)


def strategy_named(name: str, configuration: Configuration) -> tuple[Strategy, Configuration, float]:
    """A strategy, its configuration, and the seconds between its decisions.

    Raises:
        ValueError: no strategy has that name.
    """
    own: dict[str, type[Strategy]] = {
        "random": RandomFeasible,
        "greedy_multiplier": GreedyMultiplier,
        "upstream_multiplier": UpstreamMultiplier,
    }
    if name in own:
        strategy = own[name]()
    elif name in {member.value for member in StrategyName}:
        strategy = built_in(StrategyName(name))
    else:
        raise ValueError(f"no strategy is called {name!r}; there are {', '.join(NAMES)}")
    seconds = UPSTREAM_SECONDS if name.startswith("upstream") else 5.0
    return strategy, configuration, seconds
