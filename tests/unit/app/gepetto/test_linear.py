"""A linear program put together by rows and columns."""

from __future__ import annotations

import pytest

from app.gepetto.simulator.linear import Program


def test_the_most_worth_within_the_limits_is_found() -> None:
    """Two goods, 4 hours of one machine and 6 of another: two of the first and one of the second are best."""
    program = Program()
    first, second = program.row(4.0), program.row(6.0)
    program.column(3.0, [(first, 1.0), (second, 2.0)])
    program.column(4.0, [(first, 2.0), (second, 2.0)])
    assert program.maximum() == pytest.approx(10.0)


def test_a_later_row_limits_earlier_columns() -> None:
    program = Program()
    column = program.column(1.0, [(program.row(9.0), 1.0)])
    program.row(3.0, [(column, 1.0)])
    assert program.maximum() == pytest.approx(3.0)


def test_without_quantities_nothing_is_worth_anything() -> None:
    program = Program()
    program.row(1.0)
    assert program.maximum() == 0.0


def test_worth_without_a_limit_is_an_error_that_names_the_size() -> None:
    program = Program()
    program.column(1.0, [(program.row(1.0), 0.0)])
    with pytest.raises(ValueError, match="1 rows and 1 columns"):
        program.maximum()
