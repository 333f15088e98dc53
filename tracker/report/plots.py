"""Plots as PNG files, for chats and documents. Needs matplotlib; draws to files only, never to a screen."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from tracker.model import RAO_PER_TAO
from tracker.report.data import ReportData
from tracker.tenure import days


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


def _ranking(data: ReportData, top: int = 20) -> Figure:
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    rows = [row for row in data.ranking.rows if row.periods][:top]
    axes.bar([str(row.netuid) for row in rows], [row.per_day(row.counts.changes) for row in rows], color="#0072b2")
    axes.set(title=f"Changes a day on {data.network} (lower bounds)", xlabel="subnet", ylabel="changes a day")
    return figure


def _prices(data: ReportData) -> Figure:
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for netuid, path in data.prices.items():
        if path:
            axes.plot([block for block, _ in path], [rao / RAO_PER_TAO for _, rao in path], label=f"subnet {netuid}")
    axes.set(title="Price of a seat", xlabel="block", ylabel="TAO")
    if axes.lines:
        axes.set_yscale("log")
        axes.legend()
    return figure


def _tenure(data: ReportData) -> Figure:
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for netuid, curve in data.tenure.items():
        if curve.ages:
            ages = [0.0, *(days(age) for age in curve.ages)]
            axes.step(ages, [100, *(100 * share for share in curve.shares)], where="post", label=f"subnet {netuid}")
    axes.set(title="How long neurons stay", xlabel="age in days", ylabel="% still there", ylim=(0, 101))
    if axes.lines:
        axes.legend()
    return figure
