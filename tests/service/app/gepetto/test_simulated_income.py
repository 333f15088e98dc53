"""The simulator's part of the continuous integration: 3 presets, 5 seeds, 50 GPUs, one day (spec: gepetto 25.5)."""

from __future__ import annotations

import pytest

from app.gepetto.decision.configuration import Configuration
from app.gepetto.simulator.compare import Comparison, Matrix, compare
from app.gepetto.simulator.scenario import Preset

pytestmark = pytest.mark.service

PRESETS = (Preset.LIVE_LIKE, Preset.MIXED, Preset.LARGE_HEAVY)
#: Share of the bound that the default earns after the first hours, as a mean of the seeds.
STEADY = 0.90


@pytest.fixture(scope="module")
def found() -> dict[str, Comparison]:
    items = compare(Matrix(PRESETS, ("shadow_price",), (1, 2, 3, 4, 5)), Configuration(), processes=2)
    return {item.preset: item for item in items if item.strategy == "shadow_price"}


@pytest.mark.parametrize("preset", PRESETS)
def test_25_5_the_default_earns_no_less_than_the_public_strategy_and_breaks_no_rule(
    found: dict[str, Comparison], preset: str
) -> None:
    item = found[preset]
    low, mean, high = item.difference.low, item.difference.mean, item.difference.high
    print(f"{preset}: {mean:+.1%} [{low:+.1%}, {high:+.1%}] against upstream_compat")
    assert mean >= -0.01  # equal seeds give equal runs, so this is no matter of luck or of the machine's speed
    assert item.violations == 0


@pytest.mark.parametrize("preset", PRESETS)
def test_25_5_in_steady_state_the_default_earns_most_of_what_nobody_could_beat(
    found: dict[str, Comparison], preset: str
) -> None:
    share = found[preset].bound_share
    print(f"{preset}: {share.mean:.1%} [{share.low:.1%}, {share.high:.1%}] of the bound")
    assert STEADY <= share.mean <= 1.0
