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
    items = compare(Matrix(presets, ("shadow_price",), (1, 2, 3, 4, 5)), Configuration(), processes=2)
    return {item.preset: item for item in items if item.strategy == "shadow_price"}


@pytest.mark.parametrize("preset", ["live_like", "mixed", "large_heavy"])
def test_25_5_the_default_earns_no_less_than_the_public_strategy_and_breaks_no_rule(
    found: dict[str, Comparison], preset: str
) -> None:
    item = found[preset]
    low, mean, high = item.difference.low, item.difference.mean, item.difference.high
    print(f"{preset}: {mean:+.1%} [{low:+.1%}, {high:+.1%}] against upstream_compat")
    assert mean >= -0.01  # equal seeds give equal runs, so this is no matter of luck or of the machine's speed
    assert item.violations == 0
    assert 0.6 < item.bound_share.mean <= 1.0
