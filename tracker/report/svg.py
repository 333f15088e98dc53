"""Small drawings as SVG text: line charts and heat maps that scale with the page and carry their numbers as titles.

Sizes are units of a drawing that is 720 wide; the page decides how large that is. Colours of text and grid come from
the page's style, so that a dark page gets light lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Final

#: Eight colours that stay apart for most kinds of colour blindness, on light and on dark paper (after Okabe and Ito).
COLOURS: Final = ("#2f7ed8", "#e06c1f", "#14a37f", "#c95fa5", "#d99a00", "#46b3e6", "#8a8f2a", "#8c7ae6")
_WIDTH: Final = 720
_HEIGHT: Final = 330
_LEFT: Final = 58
_RIGHT: Final = 40
_TOP: Final = 30
_BOTTOM: Final = 34
_ROW: Final = 17
_GAP: Final = 2
Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """One axis: its range, whether it is logarithmic, what it counts, and how a value is written."""

    low: float
    high: float
    label: str
    logarithmic: bool = False
    form: Callable[[float], str] | None = None
    parts: int = 4

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
        if self.form is not None:
            return [self.low + (self.high - self.low) * part / self.parts for part in range(self.parts + 1)]
        step = _round_step((self.high - self.low) / self.parts)
        first = math.ceil(self.low / step)
        return [step * number for number in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def text(self, value: float) -> str:
        """A value as it stands beside its mark."""
        return short(value) if self.form is None else self.form(value)


def _round_step(least: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= least * (1 - 1e-9))


def lines(series: Mapping[str, Sequence[Point]], across: Axis, up: Axis, *, steps: bool = False) -> str:
    """A line chart; each line ends in a dot with its short name, in the colour of `colour_of` its place."""
    parts = [_frame(across, up)]
    ends: list[float] = []
    for index, (name, points) in enumerate(series.items()):
        if not points:
            continue
        colour = COLOURS[index % len(COLOURS)]
        placed = [_point(point, across, up) for point in points]
        last_x, last_y = placed[-1]
        parts.append(
            f'<path d="{_path(placed, steps=steps)}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-linejoin="round"><title>{escape(name)}</title></path>'
            f'<circle cx="{last_x:.1f}" cy="{last_y:.1f}" r="3.5" fill="{colour}"/>'
            f'<text x="{_WIDTH - _RIGHT + 8}" y="{_free_place(last_y, ends) + 4:.1f}" class="end" '
            f'style="fill:{colour}">{escape(name.removeprefix("subnet "))}</text>'
        )
    return _svg(_HEIGHT, "".join(parts), f"{up.label} by {across.label}")


def heat_map(rows: Mapping[str, Sequence[int]], columns: Sequence[str], marks: Sequence[str]) -> str:
    """Rows of cells, darker for more; each cell says its number.

    Args:
        columns: name of each column, for the titles of its cells.
        marks: labels spread evenly under the columns, the first at their start and the last at their end.
    """
    highest = max((value for row in rows.values() for value in row), default=0)
    width = (_WIDTH - _LEFT - 8) / max(1, len(columns))
    parts = []
    for index, (name, row) in enumerate(rows.items()):
        y = index * _ROW
        parts.append(f'<text x="{_LEFT - 8}" y="{y + _ROW / 2 + 3:.1f}" text-anchor="end">{escape(name)}</text>')
        for column, value in enumerate(row):
            shade = 0 if highest == 0 else math.sqrt(value / highest)
            title = f"subnet {name}, {columns[column]}: {value}"
            parts.append(
                f'<rect x="{_LEFT + column * width:.1f}" y="{y}" width="{max(1.0, width - _GAP):.1f}" '
                f'height="{_ROW - _GAP}" rx="2.5" class="cell" fill-opacity="{0.07 + 0.93 * shade:.2f}">'
                f"<title>{escape(title)}</title></rect>"
            )
    height = len(rows) * _ROW + 24
    for place, mark in enumerate(marks):
        anchor = "start" if place == 0 else "end" if place == len(marks) - 1 else "middle"
        x = _LEFT + (_WIDTH - _LEFT - 8) * place / max(1, len(marks) - 1)
        parts.append(f'<text x="{x:.1f}" y="{height - 7}" text-anchor="{anchor}">{escape(mark)}</text>')
    return _svg(height, "".join(parts), "registrations by subnet and time")


def thinned(points: Sequence[Point], most: int = 240) -> list[Point]:
    """At most so many points of a path, with the lowest and the highest of each stretch: bursts stay visible."""
    if len(points) <= most:
        return list(points)
    stretch = -(-2 * len(points) // (most - 2))
    kept: list[Point] = []
    for start in range(0, len(points), stretch):
        part = points[start : start + stretch]
        ends = {min(range(len(part)), key=lambda at: part[at][1]), max(range(len(part)), key=lambda at: part[at][1])}
        kept += [part[at] for at in sorted(ends)]
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def day_and_month(seconds: float) -> str:
    """A moment as a date, UTC."""
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%-d %b}"


def hour_of_day(seconds: float) -> str:
    """A moment as date and hour, UTC, for short ranges."""
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%-d %b %H:%M}"


def short(value: float) -> str:
    """A number as it fits beside an axis."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100_000 else f"{value:.4g}"


def _svg(height: int, inner: str, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}" '
        f'preserveAspectRatio="xMinYMin">{inner}</svg>'
    )


def _point(point: Point, across: Axis, up: Axis) -> Point:
    x = _LEFT + across.place(point[0]) * (_WIDTH - _LEFT - _RIGHT)
    y = _HEIGHT - _BOTTOM - up.place(point[1]) * (_HEIGHT - _TOP - _BOTTOM)
    return x, y


def _path(points: Sequence[Point], *, steps: bool) -> str:
    text = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    for x, y in points[1:]:
        text += f"H{x:.1f}V{y:.1f}" if steps else f"L{x:.1f},{y:.1f}"
    return text


def _free_place(y: float, taken: list[float]) -> float:
    """A height near `y` where no other name stands: above it, or below where there is no room above."""
    for distance in range(0, _HEIGHT, 15):
        for candidate in (y - distance, y + distance):
            if _TOP <= candidate <= _HEIGHT - _BOTTOM and all(abs(candidate - other) >= 15 for other in taken):
                taken.append(candidate)
                return candidate
    return y


def _frame(across: Axis, up: Axis) -> str:
    parts = []
    for tick in up.ticks():
        _, y = _point((across.low, tick), across, up)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(up.text(tick))}</text>')
    ticks = across.ticks()
    for place, tick in enumerate(ticks):
        x, _ = _point((tick, up.low), across, up)
        anchor = "start" if place == 0 else "end" if tick == across.high else "middle"
        y = _HEIGHT - _BOTTOM + 20
        parts.append(f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(across.text(tick))}</text>')
    parts.append(f'<text x="0" y="14" class="unit">{escape(up.label)}</text>')
    return "".join(parts)
