"""A picture of simulated runs: income over time, idle GPUs by cause, strategies side by side. Writes one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from app.gepetto.simulator.compare import Comparison


def draw(comparisons: list[Comparison], path: Path) -> None:
    """Write the picture (format by the suffix). It says on its face that its data are simulated."""
    presets = list(dict.fromkeys(item.preset for item in comparisons))
    figure = Figure(figsize=(15, 4 * len(presets)), layout="constrained")
    figure.suptitle("Simulated fleets: nothing here was measured on the subnet")
    axes = figure.subplots(len(presets), 3, squeeze=False)
    for row, preset in enumerate(presets):
        items = [item for item in comparisons if item.preset == preset]
        income, idle, bars = axes[row]
        for item in items:
            first = item.results[0]
            income.plot(np.arange(1, len(first.hourly) + 1), first.hourly, label=item.strategy)
        income.set(title=f"{preset}: income per hour, seed {items[0].results[0].seed}", xlabel="hour", ylabel="units")
        income.legend(fontsize="small")
        last = items[-1].results[0]
        idle.stackplot(
            np.arange(max(len(line) for line in last.idle_hourly.values())),
            *last.idle_hourly.values(),
            labels=list(last.idle_hourly),
        )
        idle.set(title=f"idle GPUs by cause, {last.strategy}", xlabel="hour", ylabel="GPU-hours per hour")
        idle.legend(fontsize="small")
        means = [item.per_gpu_hour.mean for item in items]
        spread = [
            [i.per_gpu_hour.mean - i.per_gpu_hour.low for i in items],
            [i.per_gpu_hour.high - i.per_gpu_hour.mean for i in items],
        ]
        bars.barh([item.strategy for item in items], means, xerr=spread)
        bars.set(title="units per GPU-hour, 95 % interval")
    figure.savefig(path)
