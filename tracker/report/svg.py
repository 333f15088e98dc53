"""Small drawings as SVG text: line charts and heat maps that scale with the page and carry their numbers as titles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

#: Eight colours that stay apart for most kinds of colour blindness (Okabe and Ito).
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f00", "#555555")
_WIDTH: Final = 720
_HEIGHT: Final = 300
_LEFT: Final = 64
_RIGHT: Final = 92
_TOP: Final = 30
_BOTTOM: Final = 40


@dataclass(frozen=True)
class Axis:
    """One axis: its range, whether it is logarithmic, and what it counts."""

    low: float
    high: float
    label: str
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, from 0 to 1."""
        low, high, at = self.low, self.high, value
        if self.logarithmic:
            low, high, at = math.log10(low), math.log10(high), math.log10(max(value, self.low))
        return 0.5 if high == low else (at - low) / (high - low)

    def ticks(self) -> list[float]:
        """Values to mark."""
        if self.logarithmic:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1) if self.low <= 10.0**power <= self.high]
        return [self.low + (self.high - self.low) * part / 4 for part in range(5)]


def lines(series: Mapping[str, Sequence[tuple[float, float]]], across: Axis, up: Axis, *, steps: bool = False) -> str:
    """A line chart; each line is named at its end."""
    parts = [_frame(across, up)]
    ends: list[float] = []
    for index, (name, points) in enumerate(series.items()):
        if not points:
            continue
        colour = COLOURS[index % len(COLOURS)]
        path = _path([_point(point, across, up) for point in points], steps=steps)
        parts.append(
            f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.8"><title>{escape(name)}</title></path>'
        )
        y = _free_place(_point(points[-1], across, up)[1], ends)
        parts.append(f'<text x="{_WIDTH - _RIGHT + 6}" y="{y + 4:.1f}" style="fill:{colour}">{escape(name)}</text>')
    return _svg(_HEIGHT, "".join(parts))


def heat_map(rows: Mapping[str, Sequence[int]], columns: Sequence[str]) -> str:
    """Rows of cells, darker for more; each cell says its number."""
    size = 18
    highest = max((value for row in rows.values() for value in row), default=0)
    width = (_WIDTH - _LEFT - 8) / max(1, len(columns))
    parts = []
    for index, (name, row) in enumerate(rows.items()):
        y = index * size
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        for column, value in enumerate(row):
            shade = 0 if highest == 0 else math.sqrt(value / highest)
            title = f"{name}, {columns[column]}: {value}"
            parts.append(
                f'<rect x="{_LEFT + column * width:.1f}" y="{y}" width="{width - 1:.1f}" height="{size - 1}" '
                f'fill="#0072b2" fill-opacity="{0.06 + 0.94 * shade:.2f}"><title>{escape(title)}</title></rect>'
            )
    height = len(rows) * size + 22
    for column in (0, len(columns) - 1):
        anchor = "start" if column == 0 else "end"
        x = _LEFT + (0 if column == 0 else len(columns) * width)
        parts.append(f'<text x="{x:.1f}" y="{height - 6}" text-anchor="{anchor}">{escape(columns[column])}</text>')
    return _svg(height, "".join(parts))


def _svg(height: int, inner: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" preserveAspectRatio="xMinYMin">{inner}</svg>'


def _point(point: tuple[float, float], across: Axis, up: Axis) -> tuple[float, float]:
    x = _LEFT + across.place(point[0]) * (_WIDTH - _LEFT - _RIGHT)
    y = _HEIGHT - _BOTTOM - up.place(point[1]) * (_HEIGHT - _TOP - _BOTTOM)
    return x, y


def _path(points: Sequence[tuple[float, float]], *, steps: bool) -> str:
    text = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    for x, y in points[1:]:
        text += f"H{x:.1f}V{y:.1f}" if steps else f"L{x:.1f},{y:.1f}"
    return text


def _free_place(y: float, taken: list[float]) -> float:
    """A height near `y` where no other name stands."""
    while any(abs(y - other) < 15 for other in taken):
        y -= 15
    taken.append(y)
    return y


def _frame(across: Axis, up: Axis) -> str:
    parts = []
    for tick in up.ticks():
        _, y = _point((across.low, tick), across, up)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(tick)}</text>')
    for tick in across.ticks():
        x, _ = _point((tick, up.low), across, up)
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{_short(tick)}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(across.label)}</text>')
    parts.append(f'<text x="4" y="14">{escape(up.label)}</text>')
    return "".join(parts)


def _short(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 100_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
