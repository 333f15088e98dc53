"""A linear program that is put together row by row and column by column. Knows nothing of what it stands for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

#: The number of a row or a column, and how much of the row one unit of the column takes.
Entry = tuple[int, float]


class Program:
    """Most worth of columns of at least 0, where what they take of each row stays within the row's limit."""

    def __init__(self) -> None:
        self._worth: list[float] = []
        self._limits: list[float] = []
        self._rows: list[int] = []
        self._columns: list[int] = []
        self._taken: list[float] = []

    def row(self, limit: float, columns: Iterable[Entry] = ()) -> int:
        """A new limit, and what columns that exist take of it; its number."""
        self._limits.append(limit)
        for column, taken in columns:
            self._take(len(self._limits) - 1, column, taken)
        return len(self._limits) - 1

    def column(self, worth: float, rows: Iterable[Entry]) -> int:
        """A new quantity, what one unit of it is worth, and what it takes of rows that exist; its number."""
        self._worth.append(worth)
        for row, taken in rows:
            self._take(row, len(self._worth) - 1, taken)
        return len(self._worth) - 1

    def _take(self, row: int, column: int, taken: float) -> None:
        self._rows.append(row)
        self._columns.append(column)
        self._taken.append(taken)

    def maximum(self) -> float:
        """The most that it can be worth; nothing without quantities.

        Raises:
            ValueError: no quantities keep the limits, or the worth has none; the solver's words are in the message.
        """
        if not self._worth:
            return 0.0
        shape = (len(self._limits), len(self._worth))
        taken = coo_array((self._taken, (self._rows, self._columns)), shape).tocsr()
        solved = linprog(-np.asarray(self._worth), A_ub=taken, b_ub=np.asarray(self._limits), method="highs")
        if not solved.success:
            raise ValueError(f"a linear program of {shape[0]} rows and {shape[1]} columns: {solved.message}")
        return float(-solved.fun)
