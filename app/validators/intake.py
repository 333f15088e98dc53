"""From a validator's message to Redis. While Redis is away events wait in memory, in order; an overflow is a gap.

A gap is never hidden: `on_gap` is called once Redis is back, and the state is reconciled with the validator's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.protocol.events import Event, Rejected, from_broadcast
from app.validators import stream

WAITING_EVENTS: Final = 10_000
RETRY_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


class Intake:
    """Takes messages without waiting and hands them to Redis in order. Run `deliver` beside the feed."""

    def __init__(self, redis: Redis, hotkey: str, *, on_gap: Callable[[], Awaitable[None]]) -> None:
        self._redis = redis
        self._hotkey = hotkey
        self._on_gap = on_gap
        self._waiting: deque[Event | tuple[Rejected, object]] = deque()
        self._arrived = asyncio.Event()
        self._overflowed = False
        self.accepted = 0
        self.rejected = 0

    def take(self, message: object, *, validator: str) -> Event | Rejected:
        """Read one message of one validator's connection and queue what came of it."""
        found = from_broadcast(message, validator=validator, hotkey=self._hotkey)
        if isinstance(found, Event):
            self.accepted += 1
            self._queue(found)
        else:
            self.rejected += 1
            log.warning("a validator's message was not taken", why=found.why, reason=found.reason)
            self._queue((found, message))
        return found

    def queue(self, event: Event) -> None:
        """Queue an event that did not come as a message, such as one found by a reconcile."""
        self._queue(event)

    def _queue(self, entry: Event | tuple[Rejected, object]) -> None:
        if len(self._waiting) >= WAITING_EVENTS:
            self._waiting.popleft()
            self._overflowed = True
        self._waiting.append(entry)
        self._arrived.set()

    async def deliver(self) -> None:
        """Hand queued entries to Redis, for ever; an outage keeps them and is tried again each second."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                if not await self._deliver(self._waiting[0]):
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                self._waiting.popleft()
            if self._overflowed:
                self._overflowed = False
                await self._on_gap()

    async def _deliver(self, entry: Event | tuple[Rejected, object]) -> bool:
        try:
            async with asyncio.timeout(5):
                if isinstance(entry, Event):
                    await stream.publish(self._redis, entry)
                else:
                    await stream.reject(self._redis, *entry)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("Redis is away, events wait", waiting=len(self._waiting), error=str(error))
            return False
        return True
