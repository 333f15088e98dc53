"""How long to wait before the next complete list: a monitor that asks without end must not be flooded. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

_LONGEST_SECONDS: Final = 300.0


@dataclass(frozen=True)
class SyncSpacing:
    """Pauses between complete lists: the shortest at first, doubling to five minutes while lists follow each other.

    Args:
        shortest_seconds: the pause after a single list.
        streak: lists in a row that were soon followed by another.
        last_seconds: when the last one was sent, by the caller's monotonic clock; None before the first.
    """

    shortest_seconds: float
    streak: int = 0
    last_seconds: float | None = None

    @property
    def pause_seconds(self) -> float:
        """The pause that is due after the last list."""
        return min(_LONGEST_SECONDS, self.shortest_seconds * 2.0 ** min(self.streak, 20))

    def wait_seconds(self, now: float) -> float:
        """How long to wait from now on; 0 when the next list may be sent."""
        return 0.0 if self.last_seconds is None else max(0.0, self.last_seconds + self.pause_seconds - now)

    def sent(self, now: float) -> SyncSpacing:
        """After sending one. A long quiet time before it ends the streak."""
        if self.last_seconds is None:
            return replace(self, last_seconds=now)
        quiet = now - self.last_seconds > 3 * self.pause_seconds
        return replace(self, streak=0 if quiet else self.streak + 1, last_seconds=now)
