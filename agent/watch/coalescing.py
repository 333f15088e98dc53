"""Events that wait to be sent: per object only the latest, deletions kept, order per object preserved, bounded.

Pure but for an event that wakes a waiting sender. Two objects of one name but different uid keep their order too,
because the public monitor knows objects by name only.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.protocol.channels import ResourceType
from app.protocol.objects import EventType, ObjectEvent

Name = tuple[ResourceType, str]
Key = tuple[ResourceType, str, str]
DEFAULT_CAPACITY: Final = 20_000


class QueueOverflowError(RuntimeError):
    """More objects changed than are kept: only a complete list helps now."""


@dataclass(frozen=True)
class Pending:
    """One event that waits, and how often a monitor refused it."""

    event: ObjectEvent
    refusals: int = 0

    @property
    def key(self) -> Key:
        item = self.event.object
        return (item.kind, item.field, item.uid)

    @property
    def name(self) -> Name:
        return self.key[:2]


class CoalescingQueue:
    """Filled by watches, emptied by senders."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self._capacity = capacity
        self._pending: OrderedDict[Key, Pending] = OrderedDict()
        self._in_flight: set[Name] = set()
        self._wake = asyncio.Event()
        self.coalesced = 0

    def __len__(self) -> int:
        return len(self._pending)

    def put(self, event: ObjectEvent) -> None:
        """Add an event, or let it take the place of an older one of the same object.

        Raises:
            QueueOverflowError: the bound is reached; nothing was added.
        """
        fresh = Pending(event)
        earlier = self._pending.get(fresh.key)
        if earlier is None:
            if len(self._pending) >= self._capacity:
                raise QueueOverflowError(f"{self._capacity} objects wait already")
            self._pending[fresh.key] = fresh
        else:
            self.coalesced += 1
            self._pending[fresh.key] = _merged(earlier, event)
        self._wake.set()

    async def take(self, limit: int) -> Sequence[Pending]:
        """Up to `limit` events, oldest first, none of an object that is being sent; waits until there is one."""
        while True:
            taken: list[Pending] = []
            names: set[Name] = set()
            for pending in self._pending.values():
                if len(taken) == limit:
                    break
                if pending.name not in self._in_flight:
                    taken.append(pending)
                    names.add(pending.name)
                    if limit == 1:
                        break
            if taken:
                for pending in taken:
                    del self._pending[pending.key]
                self._in_flight |= names
                return taken
            self._wake.clear()
            await self._wake.wait()

    def done(self, taken: Sequence[Pending]) -> None:
        """These were sent, or are given up."""
        self._in_flight -= {pending.name for pending in taken}
        self._wake.set()

    def give_back(self, taken: Sequence[Pending], *, refused: bool) -> None:
        """These were not sent: they go first again, unless something newer about the object has come meanwhile."""
        self._in_flight -= {pending.name for pending in taken}
        for pending in reversed(taken):
            if pending.key not in self._pending:
                counted = replace(pending, refusals=pending.refusals + 1) if refused else pending
                self._pending[pending.key] = counted
            else:
                self._pending[pending.key] = _merged(pending, self._pending[pending.key].event)
            self._pending.move_to_end(pending.key, last=False)
        self._wake.set()


def _merged(earlier: Pending, later: ObjectEvent) -> Pending:
    """What to say instead of both: the later state; still "added" when the addition was not told yet."""
    was_added = earlier.event.type is EventType.ADDED and later.type is EventType.MODIFIED
    return Pending(ObjectEvent(EventType.ADDED, later.object) if was_added else later, earlier.refusals)
