"""Strategies: which launches and swaps to plan (spec: gepetto 24.2). No I/O, no clock, no randomness."""

from app.gepetto.decision.configuration import StrategyName
from app.gepetto.strategies.base import Context, Strategy
from app.gepetto.strategies.matching import Matching
from app.gepetto.strategies.shadow_price import Conservative, GreedyValue, ShadowPrice
from app.gepetto.strategies.upstream_compat import UpstreamCompat

__all__ = [
    "Conservative",
    "Context",
    "GreedyValue",
    "Matching",
    "ShadowPrice",
    "Strategy",
    "UpstreamCompat",
    "built_in",
]


def built_in(name: StrategyName) -> Strategy:
    """The built-in strategy of that name."""
    found: dict[StrategyName, type[Strategy]] = {
        StrategyName.UPSTREAM_COMPAT: UpstreamCompat,
        StrategyName.GREEDY_VALUE: GreedyValue,
        StrategyName.SHADOW_PRICE: ShadowPrice,
        StrategyName.MATCHING: Matching,
        StrategyName.CONSERVATIVE: Conservative,
    }
    return found[name]()
