"""`RedisListener` under its public name: handlers per event type; one that fails is logged."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.compat.runtime import current
from app.protocol.channels import MINER_EVENTS
from app.protocol.events import Event, from_envelope

log = structlog.get_logger(__name__)

Handler = Callable[[dict[str, object]], Awaitable[object]]
RETRY_SECONDS = 1.0


class RedisListener:
    """Subscribes to `miner_events`; events of one type go to all its handlers, beside each other."""

    def __init__(self) -> None:
        self._handlers: defaultdict[str, list[Handler]] = defaultdict(list)

    def on_event(self, event_type: str) -> Callable[[Handler], Handler]:
        """Decorator: register a handler of an event type."""

        def register(handler: Handler) -> Handler:
            self._handlers[event_type].append(handler)
            return handler

        return register

    async def start(self) -> None:
        """Listen until cancelled; a broken connection is made again."""
        while True:
            try:
                async with Redis.from_url(current().redis_url) as redis, redis.pubsub() as pubsub:
                    await pubsub.subscribe(MINER_EVENTS)
                    async for message in pubsub.listen():
                        if message["type"] == "message":
                            await self.dispatch(message["data"])
            except (RedisError, OSError) as error:
                log.warning("the event channel is away", reason=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)

    async def dispatch(self, envelope: bytes) -> None:
        """Run the handlers of one message."""
        event = from_envelope(envelope)
        if not isinstance(event, Event):
            log.warning("a message was not understood", why=event.why)
            return
        handlers = self._handlers[event.reason.value]
        results = await asyncio.gather(*(handler(event.raw) for handler in handlers), return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                log.error("a handler failed", event_type=event.reason.value, error=repr(result))
