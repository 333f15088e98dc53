"""Rates and locks of the executor: a token bucket per validator, a lock per server (spec: gepetto 24.10)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable


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
