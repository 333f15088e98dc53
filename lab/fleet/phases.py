"""Phases of a long command: each says its name, then how long it took; the table at the end names them all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.table import Table


@dataclass
class Phases:
    """Times of the phases of one run, in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """One phase. Its time is printed when it is over, also when it failed."""
        print(f"== {name}", flush=True)
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = time.monotonic() - started
            print(f"== {name}: {self.seconds[name]:.1f} s", flush=True)

    def table(self) -> Table:
        """All phases and their sum."""
        table = Table("phase", "seconds", title="Time", title_justify="left")
        for name, seconds in self.seconds.items():
            table.add_row(name, f"{seconds:.1f}")
        table.add_row("together", f"{sum(self.seconds.values()):.1f}", style="bold")
        return table
