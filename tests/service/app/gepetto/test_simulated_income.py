"""The simulator's part of the continuous integration: 3 presets, 5 seeds, 50 GPUs, one day (spec: gepetto 25.5)."""

from __future__ import annotations

import pytest

from app.gepetto.decision.configuration import Configuration
from app.gepetto.simulator.compare import Comparison, Matrix, compare
from app.gepetto.simulator.scenario import Preset

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def found() -> dict[str, Comparison]:
    presets = (Preset.LIVE_LIKE, Preset.MIXED, Preset.LARGE_HEAVY)
    items = compare(Matrix(presets, ("shadow_price",), (1, 2, 3, 4, 5)), Configuration())
    return {item.preset: item for item in items if item.strategy == "shadow_price"}


@pytest.mark.parametrize("preset", ["live_like", "mixed", "large_heavy"])
def test_the_default_is_not_shown_to_be_worse_than_the_public_strategy(
    found: dict[str, Comparison], preset: str
) -> None:
    item = found[preset]
    low, mean, high = item.difference.low, item.difference.mean, item.difference.high
    print(f"{preset}: {mean:+.1%} [{low:+.1%}, {high:+.1%}] against upstream_compat")
    assert high >= -0.01
    assert item.violations == 0
    assert 0.3 < item.bound_share.mean <= 1.0
