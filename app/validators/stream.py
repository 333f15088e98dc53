"""Validator events on Redis: the public channel for everybody, an acknowledged stream behind it for our programs.

Spec: protocol 11.1. What was received once is not lost: a consumer that died gets its events again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from app.protocol.channels import MINER_EVENTS
from app.protocol.events import Event, Rejected, from_envelope

STREAM: Final = "headframe:events"
REJECTED: Final = "headframe:events:rejected"
STREAM_LENGTH: Final = 100_000
REJECTED_LENGTH: Final = 1_000
BLOCK_MILLISECONDS: Final = 2_000
#: An event that a consumer took and did not acknowledge for this long goes to another one.
RECLAIM_MILLISECONDS: Final = 60_000


async def publish(redis: Redis, event: Event) -> str:
    """Append to the stream and publish on the public channel, both or neither; returns the stream id."""
    envelope = event.envelope()
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.xadd(STREAM, {"event": envelope}, maxlen=STREAM_LENGTH, approximate=True)
        pipeline.publish(MINER_EVENTS, envelope)
        stream_id, _ = await pipeline.execute()
    return str(stream_id, "ascii") if isinstance(stream_id, bytes) else str(stream_id)


async def reject(redis: Redis, why: Rejected, message: object) -> None:
    """Keep a message that was not understood, for the operator to look at; the newest thousand stay."""
    entry = orjson.dumps({"why": why.why, "reason": why.reason, "message": repr(message)[:2000]})
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.lpush(REJECTED, entry)
        pipeline.ltrim(REJECTED, 0, REJECTED_LENGTH - 1)
        await pipeline.execute()


@dataclass(frozen=True)
class Delivery:
    """An event with the id to acknowledge it by."""

    stream_id: str
    event: Event


class Consumer:
    """One member of a consumer group. Every group sees every event; within a group each event goes to one member."""

    def __init__(self, redis: Redis, group: str, name: str) -> None:
        self._redis = redis
        self._group = group
        self._name = name

    async def prepare(self) -> None:
        """Make the group, from now on: a new program starts from the validator's state, not from old events."""
        try:
            await self._redis.xgroup_create(STREAM, self._group, id="$", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def take(self, count: int = 100) -> list[Delivery]:
        """First what others left unacknowledged for a minute, then what is new; waits up to two seconds."""
        _, old, *_ = await self._redis.xautoclaim(
            STREAM, self._group, self._name, min_idle_time=RECLAIM_MILLISECONDS, count=count
        )
        if old:
            return await self._deliver(old)
        found = await self._redis.xreadgroup(
            self._group, self._name, {STREAM: ">"}, count=count, block=BLOCK_MILLISECONDS
        )
        return [delivery for _, entries in _pairs(found) for delivery in await self._deliver(entries)]

    async def acknowledge(self, delivery: Delivery) -> None:
        """The event was dealt with."""
        await self._redis.xack(STREAM, self._group, delivery.stream_id)

    async def each(self) -> AsyncIterator[Delivery]:
        """Deliveries without end; acknowledge each."""
        while True:
            for delivery in await self.take():
                yield delivery

    async def _deliver(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> list[Delivery]:
        found = []
        for raw_id, fields in entries:
            stream_id = raw_id.decode() if isinstance(raw_id, bytes) else raw_id
            event = from_envelope((fields or {}).get(b"event", b""))
            if isinstance(event, Event):
                found.append(Delivery(stream_id, event))
            else:
                await self._redis.xack(STREAM, self._group, stream_id)
        return found


def _pairs(found: object) -> list[tuple[object, list[tuple[bytes, dict[bytes, bytes]]]]]:
    if isinstance(found, dict):  # RESP3 answers with a map of stream to one list of entries
        return [
            (name, entries[0] if entries and isinstance(entries[0], list) else entries)
            for name, entries in found.items()
        ]
    return list(found) if isinstance(found, list) else []
