"""Prices of seats as a table and as JSON, for other programs. Reads no chain."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Final

from tracker.cost import SubnetCost
from tracker.errors import StorageError

#: A spreadsheet takes cells that start so for formulas.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
CSV_COLUMNS: Final = (
    "netuid",
    "name",
    "symbol",
    "burn_rao",
    "burn_tao",
    "min_burn_rao",
    "max_burn_rao",
    "allowed",
    "count",
    "max_uids",
    "free_seats",
    "immunity_blocks",
    "half_life_blocks",
    "multiplier",
    "collateral_share",
    "block",
    "timestamp",
)


def to_csv(costs: Iterable[SubnetCost]) -> str:
    """A table with a header; text from the chain is guarded against being taken for a formula."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for cost in costs:
        writer.writerow([_cell(getattr(cost, column)) for column in CSV_COLUMNS])
    return buffer.getvalue()


def write_csv(costs: Iterable[SubnetCost], path: Path) -> None:
    """Write the table whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".costs-", dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as handle:
            handle.write(to_csv(costs))
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; give another path") from error


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return "'" + value
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else value


def as_json(cost: SubnetCost) -> dict[str, object]:
    """Plain values for JSON; amounts stay whole rao, the decimal one is text."""
    plain = {item.name: getattr(cost, item.name) for item in fields(SubnetCost)}
    extra = {"burn_tao": None if cost.burn_tao is None else str(cost.burn_tao), "locked_rao": cost.locked_rao}
    return plain | extra | {"free_seats": cost.free_seats, "timestamp": cost.timestamp.isoformat()}
