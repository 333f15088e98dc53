"""Plots as PNG files, for chats and documents. Needs matplotlib; draws to files only, never to a screen."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tracker.model import RAO_PER_TAO
from tracker.report.data import ReportData
from tracker.report.svg import COLOURS
from tracker.tenure import days

_DAY_SECONDS: Final = 86_400


def write_plots(data: ReportData, folder: Path) -> list[Path]:
    """Write ranking, price and tenure plots; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {"ranking": _ranking(data), "prices": _prices(data), "tenure": _tenure(data)}
    paths = []
    for name, figure in drawn.items():
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=120)
        paths.append(path)
    return paths


def _figure(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold")
    axes.set(xlabel=across, ylabel=up)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e3e8ee")
    axes.set_axisbelow(True)
    return figure, axes


def _ranking(data: ReportData, top: int = 20) -> Figure:
    figure, axes = _figure(f"Changes a day on {data.network} (lower bounds)", "subnet", "changes a day")
    rows = [row for row in data.ranking.rows if row.periods][:top]
    axes.bar([str(row.netuid) for row in rows], [row.per_day(row.counts.changes) for row in rows], color=COLOURS[0])
    return figure


def _prices(data: ReportData) -> Figure:
    figure, axes = _figure("Price of a seat", "", "TAO")
    for place, (netuid, path) in enumerate(data.prices.items()):
        if path:
            times = [seconds / _DAY_SECONDS for seconds, _ in path]  # matplotlib counts dates in days since 1970
            colour = COLOURS[place % len(COLOURS)]
            axes.plot(times, [rao / RAO_PER_TAO for _, rao in path], label=f"subnet {netuid}", color=colour)
    if axes.lines:
        axes.set_yscale("log")
        axes.xaxis_date(UTC)
        axes.legend(frameon=False, ncols=2)
    return figure


def _tenure(data: ReportData) -> Figure:
    figure, axes = _figure("How long neurons stay (upper bounds)", "age in days", "% still there")
    axes.set_ylim(0, 101)
    for place, (netuid, curve) in enumerate(data.tenure.items()):
        if curve.ages:
            ages = [0.0, *(days(age) for age in curve.ages)]
            shares = [100, *(100 * share for share in curve.shares)]
            colour = COLOURS[place % len(COLOURS)]
            axes.step(ages, shares, where="post", label=f"subnet {netuid}", color=colour)
    if axes.lines:
        axes.legend(frameon=False, ncols=2)
    return figure
