"""Strategies side by side on the same seeds, with paired differences and 95 % intervals (spec: gepetto 25.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from app.gepetto.decision.configuration import Configuration
from app.gepetto.simulator.baselines import strategy_named
from app.gepetto.simulator.bound import share_of_bound
from app.gepetto.simulator.engine import Simulation
from app.gepetto.simulator.result import Result
from app.gepetto.simulator.scenario import Preset, Scenario, build

WARM_UP_HOURS = 6


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """Student's interval; of one value, the value itself."""
        numbers = np.asarray(values, dtype=float)
        mean = float(numbers.mean())
        if len(numbers) < 2 or float(numbers.std()) == 0.0:
            return cls(mean, mean, mean)
        half = float(student.ppf(0.975, len(numbers) - 1) * numbers.std(ddof=1) / np.sqrt(len(numbers)))
        return cls(mean, mean - half, mean + half)

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Comparison:
    """One strategy on one preset: income per GPU-hour, and the relative difference to the reference, seed by seed."""

    preset: str
    strategy: str
    per_gpu_hour: Interval
    difference: Interval
    bound_share: Interval
    violations: int
    results: tuple[Result, ...]


@dataclass(frozen=True)
class Matrix:
    """What to compare. `reference` is one of the strategies."""

    presets: tuple[Preset, ...]
    strategies: tuple[str, ...]
    seeds: tuple[int, ...]
    gpus: int = 50
    chutes: int | None = None
    hours: float = 24.0
    reference: str = "upstream_compat"

    @property
    def runs(self) -> int:
        return len(self.presets) * len(self.strategies) * len(self.seeds)


def run_one(scenario: Scenario, name: str, configuration: Configuration) -> Result:
    """One run of a named strategy, in its own cadence."""
    strategy, own, seconds = strategy_named(name, configuration)
    return Simulation(scenario, own, strategy, decide_seconds=seconds).run()


def compare(
    matrix: Matrix, configuration: Configuration, progress: Callable[[str], None] = lambda _: None
) -> list[Comparison]:
    """Every strategy on every preset, on the same seeds; `progress` hears of every finished run."""
    found: list[Comparison] = []
    for preset in matrix.presets:
        scenarios = [
            build(preset, seed, gpus=matrix.gpus, chutes=matrix.chutes, hours=matrix.hours) for seed in matrix.seeds
        ]
        by_name: dict[str, list[Result]] = {}
        for name in dict.fromkeys((matrix.reference, *matrix.strategies)):
            for scenario in scenarios:
                by_name.setdefault(name, []).append(run_one(scenario, name, configuration))
                progress(f"{preset.value} {name} seed {scenario.seed}")
        found += [_summary(preset, name, by_name, scenarios, matrix.reference) for name in by_name]
    return found


def _summary(
    preset: Preset, name: str, by_name: dict[str, list[Result]], scenarios: list[Scenario], reference: str
) -> Comparison:
    results, base = by_name[name], by_name[reference]
    skip = WARM_UP_HOURS if scenarios[0].seconds / 3600 > 2 * WARM_UP_HOURS else 0
    return Comparison(
        preset=preset.value,
        strategy=name,
        per_gpu_hour=Interval.of([result.per_gpu_hour for result in results]),
        difference=Interval.of(
            [
                (one.units - other.units) / other.units if other.units else 0.0
                for one, other in zip(results, base, strict=True)
            ]
        ),
        bound_share=Interval.of(
            [
                share_of_bound(scenario, result, skip_hours=skip)
                for scenario, result in zip(scenarios, results, strict=True)
            ]
        ),
        violations=sum(result.violations for result in results),
        results=tuple(results),
    )
