"""Print the coverage of every room beside its aim and fail below the floor. Reads the data that a test run left."""

from __future__ import annotations

import io
import sys
from typing import Final

from coverage import Coverage
from coverage.exceptions import NoDataError
from rich.console import Console
from rich.table import Table

AIM_PERCENT: Final = 90.0
#: Below this the run fails.
FLOOR_PERCENT: Final = AIM_PERCENT
ROOMS: Final = ("agent", "app", "graval", "infra", "lab", "policies", "tracker")
#: Rooms whose aim is not demanded, with the reason.
INFORMATIVE: Final = {"lab": "runs mostly as root in processes of its own"}


def percent_of(room: str) -> float | None:
    """Covered share of one room in percent, branches included; None where the room holds no code that ran."""
    data = Coverage()
    data.load()
    try:
        return data.report(include=[f"{room}/*"], file=io.StringIO(), show_missing=False, skip_covered=False)
    except NoDataError:
        return None


def _cells(percent: float | None) -> tuple[str, str]:
    if percent is None:
        return "-", "no code ran"
    return f"{percent:.1f} %", "reached" if percent >= AIM_PERCENT else "below"


def main() -> int:
    table = Table("room", "coverage", f"aim {AIM_PERCENT:.0f} %", "note", title="Coverage")
    failed = []
    for room in ROOMS:
        percent = percent_of(room)
        note = INFORMATIVE.get(room)
        table.add_row(room, *_cells(percent), note or "")
        if percent is not None and percent < FLOOR_PERCENT and note is None:
            failed.append(f"{room}: {percent:.1f} %")
    Console().print(table)
    if failed:
        print(f"below {FLOOR_PERCENT:.0f} %: {', '.join(failed)}; see .venv/bin/coverage report", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
