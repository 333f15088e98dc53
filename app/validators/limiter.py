"""A token bucket: keeps us polite towards validators (spec: protocol 23.2). Clock and sleep are passed in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class TokenBucket:
    """Lets `rate_per_second` calls through on average and up to `burst` at once; waiters go in order."""

    def __init__(
        self,
        rate_per_second: float,
        burst: int,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = rate_per_second
        self._burst = float(burst)
        self._monotonic = monotonic
        self._sleep = sleep
        self._tokens = float(burst)
        self._filled_at = monotonic()

    async def take(self) -> None:
        """Wait until one call may go. A token may be borrowed, so that waiters need no queue of their own."""
        now = self._monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        self._tokens -= 1
        if self._tokens < 0:
            await self._sleep(-self._tokens / self._rate)
