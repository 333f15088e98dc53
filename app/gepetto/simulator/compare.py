"""Strategies side by side on the same seeds, with paired differences and 95 % intervals (spec: gepetto 25.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

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


@dataclass(frozen=True)
class _Task:
    """One run of the matrix, for a process of its own."""

    scenario: Scenario
    strategy: str
    configuration: Configuration
    skip_hours: int

    def run(self) -> tuple[Result, float]:
        """The run, and its income as a share of the bound."""
        result = run_one(self.scenario, self.strategy, self.configuration)
        safety = self.configuration.safety
        return result, share_of_bound(self.scenario, result, safety, skip_hours=self.skip_hours)


def compare(
    matrix: Matrix,
    configuration: Configuration,
    progress: Callable[[str], None] = lambda _: None,
    *,
    processes: int = 1,
) -> list[Comparison]:
    """Every strategy on every preset, on the same seeds; `progress` hears of every finished run.

    Args:
        matrix: what to compare.
        configuration: Gepetto's.
        progress: told preset, strategy and seed.
        processes: runs at once. What comes out does not depend on it.
    """
    skip = WARM_UP_HOURS if matrix.hours > 2 * WARM_UP_HOURS else 0
    names = tuple(dict.fromkeys((matrix.reference, *matrix.strategies)))
    tasks = [
        _Task(
            build(preset, seed, gpus=matrix.gpus, chutes=matrix.chutes, hours=matrix.hours), name, configuration, skip
        )
        for preset in matrix.presets
        for name in names
        for seed in matrix.seeds
    ]
    runs: dict[tuple[Preset, str], list[tuple[Result, float]]] = {}
    for task, run in zip(tasks, _run_all(tasks, processes), strict=True):
        runs.setdefault((task.scenario.preset, task.strategy), []).append(run)
        progress(f"{task.scenario.preset.value} {task.strategy} seed {task.scenario.seed}")
    return [
        _summary(preset, name, runs[preset, name], runs[preset, matrix.reference])
        for preset in matrix.presets
        for name in names
    ]


def _run_all(tasks: Sequence[_Task], processes: int) -> Iterator[tuple[Result, float]]:
    if processes < 2:
        yield from (task.run() for task in tasks)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_Task.run, tasks)


def _summary(
    preset: Preset, name: str, runs: list[tuple[Result, float]], reference: list[tuple[Result, float]]
) -> Comparison:
    results = [result for result, _ in runs]
    pairs = zip(results, (result for result, _ in reference), strict=True)
    return Comparison(
        preset=preset.value,
        strategy=name,
        per_gpu_hour=Interval.of([result.per_gpu_hour for result in results]),
        difference=Interval.of(
            [(one.units - other.units) / other.units if other.units else 0.0 for one, other in pairs]
        ),
        bound_share=Interval.of([share for _, share in runs]),
        violations=sum(result.violations for result in results),
        results=tuple(results),
    )
