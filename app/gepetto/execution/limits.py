"""Rates, locks and claims of the executor: a token bucket per validator, a lock per server, a hand per deployment.

Of this process alone: what must outlive it is in the journal (spec: gepetto 24.10).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TokenBucket:
    """Lets `rate_per_second` calls through on average, `burst` at once; the clock is passed in."""

    def __init__(self, rate_per_second: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = rate_per_second, burst, clock
        self._level = float(burst)
        self._at = clock()
        self._lock = asyncio.Lock()

    def _refill(self) -> None:
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now

    async def take(self) -> None:
        """Wait for a token; in order of arrival."""
        async with self._lock:
            self._refill()
            while self._level < 1:
                await asyncio.sleep((1 - self._level) / self._rate)
                self._refill()
            self._level -= 1


class ServerLocks:
    """One lock per server: its launches follow each other, other servers' go on."""

    def __init__(self) -> None:
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def of(self, server_id: str) -> asyncio.Lock:
        return self._locks[server_id]


class Working:
    """Which deployments somebody of this process works on, so that no two do at once."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    @contextmanager
    def claim(self, deployment_id: str) -> Iterator[bool]:
        """True while it is the caller's; False where somebody else has it."""
        if deployment_id in self._ids:
            yield False
            return
        self._ids.add(deployment_id)
        try:
            yield True
        finally:
            self._ids.discard(deployment_id)


class Pauses:
    """Keys that are left alone for a while; after faults in a row twice as long each time. The clock is passed in."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._faults: dict[str, int] = {}

    def is_over(self, key: str) -> bool:
        """Whether a key may be taken up now."""
        until = self._until.get(key)
        if until is not None and self._clock() >= until:
            del self._until[key]
            return True
        return until is None

    def pause(self, key: str, seconds: float) -> None:
        """Leave a key alone for so many seconds."""
        self._until[key] = self._clock() + seconds

    def fault(self, key: str, first_seconds: float, longest_seconds: float) -> None:
        """Leave a key alone, longer at each fault in a row."""
        count = self._faults.get(key, 0)
        self._faults[key] = min(count + 1, 16)
        self.pause(key, min(longest_seconds, first_seconds * 2.0**count))

    def well(self, key: str) -> None:
        """A key's work went as it should: the next fault is a first one."""
        self._faults.pop(key, None)
