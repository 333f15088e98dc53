"""Drawings: round marks on the axes, bursts that survive thinning, names that keep apart, escaped text."""

from __future__ import annotations

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st

from tracker.report.svg import Axis, heat_map, lines, short, thinned


def test_marks_of_an_axis_are_round_numbers() -> None:
    assert Axis(0, 70.86, "days").ticks() == [0, 20, 40, 60]
    assert Axis(0, 100, "%").ticks() == [0, 50, 100]
    assert Axis(0.0005, 200, "TAO", logarithmic=True).ticks() == [0.001, 0.01, 0.1, 1, 10, 100]
    assert Axis(10, 40, "time", form=str, parts=3).ticks() == [10, 20, 30, 40]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_marks_lie_within_their_axis(low: float, length: float) -> None:
    axis = Axis(low, low + length, "x")
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 6
    assert all(-1e-6 <= axis.place(tick) <= 1 + 1e-6 for tick in ticks)


def test_an_axis_of_one_value_places_it_in_the_middle() -> None:
    assert Axis(5, 5, "x").place(5) == 0.5
    assert Axis(5, 5, "x").ticks() == [5]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=2_000))
def test_thinning_keeps_the_extremes_and_the_last_point(values: list[float]) -> None:
    points = [(float(at), value) for at, value in enumerate(values)]
    kept = thinned(points)
    assert len(kept) <= 240
    assert kept == sorted(kept)
    assert kept[-1] == points[-1]
    assert set(kept) <= set(points)
    assert max(value for _, value in kept) == max(values)
    assert min(value for _, value in kept) == min(values)


def test_names_at_the_ends_of_lines_keep_apart() -> None:
    series = {f"subnet {number}": [(0.0, 1.0), (1.0, 0.0)] for number in range(8)}
    drawn = lines(series, Axis(0, 1, "x"), Axis(0, 1, "y"), steps=True)
    heights = sorted(float(y) for y in re.findall(r'y="([\d.]+)" class="end"', drawn))
    assert len(heights) == 8
    assert all(after - before >= 14.9 for before, after in itertools.pairwise(heights))


def test_a_line_without_points_is_left_out_and_text_is_escaped() -> None:
    drawn = lines({"<b>": [(0.0, 1.0)], "unseen": []}, Axis(0, 1, "x"), Axis(0, 1, "<y>"))
    assert "<b>" not in drawn
    assert "unseen" not in drawn
    assert "&lt;y&gt;" in drawn
    assert "<script" not in heat_map({"<script>": [1, 2]}, ["a", "b"], ["a", "b"])


def test_cells_say_their_number_and_none_is_lightest() -> None:
    drawn = heat_map({"1": [0, 4]}, ["mon", "tue"], ["mon"])
    assert "subnet 1, tue: 4" in drawn
    assert re.findall(r'fill-opacity="([\d.]+)"', drawn) == ["0.07", "1.00"]


def test_numbers_beside_an_axis_are_short() -> None:
    assert [short(value) for value in (0, 0.00123456, 12.345, 1_234_567)] == ["0", "0.001235", "12.35", "1,234,567"]
