"""One session with a monitor: collect everything, send it, then follow every change from exactly there.

Everything a session starts ends with it. It ends by `ResyncNeededError` or by a failure; what then happens is
decided in `lifecycle`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import httpx
import structlog

from agent.watch.client import MonitorClient, MonitorError
from agent.watch.coalescing import CoalescingQueue, Pending
from agent.watch.metrics import AgentMetrics
from agent.watch.told import ToldObjects
from app.protocol.channels import ResourceType
from app.protocol.kubernetes_reads import ClusterReadError, Collection, Listing, Presence, list_collection, look_up
from app.protocol.monitoring import BATCH_EVENTS
from app.protocol.objects import EventType, KubernetesObject, ObjectEvent
from app.protocol.reflection import Reflector

_SINGLE_SENDERS: Final = 8
_POLL_SECONDS: Final = 2.0
_BACKOFF_FIRST_SECONDS: Final = 0.2
_BACKOFF_LAST_SECONDS: Final = 30.0
_MOST_REFUSALS: Final = 6
#: With these answers the monitor asks for a complete list.
RESYNC_STATUSES: Final = frozenset({404, 409, 410})
_MALFORMED_STATUSES: Final = frozenset({400, 413, 422})
_log = structlog.get_logger(__name__)


class ResyncNeededError(RuntimeError):
    """Only a complete list can go on from here."""


@dataclass
class SessionStatus:
    """What a session tells about itself while it runs."""

    last_heartbeat: datetime | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Collected:
    """Every collection of a cluster, each complete."""

    listings: tuple[Listing, ...]

    @property
    def objects(self) -> tuple[KubernetesObject, ...]:
        return tuple(item for listing in self.listings for item in listing.objects)


def collections_of(namespaces: Sequence[str]) -> tuple[Collection, ...]:
    """What is watched: nodes once, and four kinds in every namespace."""
    kinds = (ResourceType.DEPLOYMENT, ResourceType.POD, ResourceType.SERVICE, ResourceType.JOB)
    return (Collection(ResourceType.NODE), *(Collection(kind, name) for name in namespaces for kind in kinds))


async def collect(kubernetes: httpx.AsyncClient, collections: Sequence[Collection]) -> Collected:
    """Read these collections.

    Raises:
        ClusterReadError: any part failed, or an object could not be read: half a cluster is never reported as a whole.
    """
    listings = []
    for collection in collections:
        listing = await list_collection(kubernetes, collection)
        if listing.skipped:
            raise ClusterReadError(f"{listing.skipped} unreadable objects in {collection.path}")
        listings.append(listing)
    return Collected(tuple(listings))


@dataclass
class Session:
    """Follows a cluster after its snapshot was accepted.

    Args:
        now: wall clock, Unix seconds.
    """

    kubernetes: httpx.AsyncClient
    monitor: MonitorClient
    collected: Collected
    metrics: AgentMetrics
    now: Callable[[], float]
    heartbeat_seconds: float
    status: SessionStatus = field(default_factory=SessionStatus)
    queue: CoalescingQueue = field(default_factory=CoalescingQueue)
    _tasks: asyncio.TaskGroup | None = None
    #: Held while a batch is on its way, and while lists are read and sent.
    _sending: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.told = ToldObjects(self.collected.objects)

    async def run(self) -> None:
        """Follow, send and beat until something ends it.

        Raises:
            ExceptionGroup: of `ResyncNeededError`, `ClusterReadError`, `QueueOverflowError`, or what nobody foresaw.
        """
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for listing in self.collected.listings:
                reflector = Reflector(self.kubernetes, listing.collection, keep_bodies=True)
                tasks.create_task(reflector.follow(listing, self))
            if self.monitor.takes_batches:
                tasks.create_task(self._send(BATCH_EVENTS))
            else:
                for _ in range(_SINGLE_SENDERS):
                    tasks.create_task(self._send(1))
            tasks.create_task(self._beat())

    async def on_event(self, event: ObjectEvent) -> None:
        """A change in the cluster. A deletion is told as one only when the object is really gone."""
        item = event.object
        if event.type is EventType.MODIFIED and item.is_terminating:
            event = ObjectEvent(EventType.TERMINATING, item)
        if event.type is EventType.DELETED and await look_up(self.kubernetes, item) is not Presence.GONE:
            self.queue.put(ObjectEvent(EventType.TERMINATING, item))
            if self._tasks is not None:
                self._tasks.create_task(self._tell_when_gone(event))
            return
        self.queue.put(event)

    async def on_list(self, listing: Listing) -> None:
        """A watch had a gap and was repaired by a list."""
        self.metrics.relists.inc()
        _log.info("list read again", collection=listing.collection.path)

    async def _tell_when_gone(self, event: ObjectEvent) -> None:
        while await look_up(self.kubernetes, event.object) is not Presence.GONE:  # noqa: ASYNC110 - far away
            await asyncio.sleep(_POLL_SECONDS)
        self.queue.put(event)

    async def _send(self, limit: int) -> None:
        failures = 0
        while True:
            taken = await self.queue.take(limit)
            self.metrics.queue_depth.set(len(self.queue))
            try:
                await self._tell(taken, self._sending if limit > 1 else nullcontext())
            except MonitorError as error:
                self._not_sent(taken, error)
                failures += 1
                await asyncio.sleep(backoff_seconds(failures, random.random()))  # noqa: S311 - jitter
            else:
                failures = 0
                self.metrics.events.labels("sent").inc(len(taken))

    async def _tell(self, taken: Sequence[Pending], turn: AbstractAsyncContextManager[object]) -> None:
        async with turn:
            await self.monitor.send([pending.event for pending in taken])
            for pending in taken:
                self.told.taken(pending.event)
            self.queue.done(taken)

    def _not_sent(self, taken: Sequence[Pending], error: MonitorError) -> None:
        """Decide about events that the monitor did not take.

        Raises:
            ResyncNeededError: it does not know the cluster, or refused one event again and again.
        """
        if error.status in RESYNC_STATUSES:
            raise ResyncNeededError(str(error)) from error
        if error.status in _MALFORMED_STATUSES and len(taken) == 1:
            _log.error("the monitor cannot read an object; it is left out", object=str(taken[0].name), error=str(error))
            self.metrics.events.labels("left_out").inc()
            self.queue.done(taken)
            return
        if error.status in _MALFORMED_STATUSES:
            self.monitor.is_single = True
            self.queue.give_back(taken, refused=False)
            raise ResyncNeededError("a batch was refused; going on singly") from error
        self.metrics.events.labels("retried").inc(len(taken))
        self.queue.give_back(taken, refused=error.status is not None)
        if any(pending.refusals >= _MOST_REFUSALS for pending in taken):
            raise ResyncNeededError(f"an event was refused {_MOST_REFUSALS} times: {error}") from error

    async def _beat(self) -> None:
        failures = 0
        while True:
            pause = self.heartbeat_seconds
            try:
                await self._beat_once()
            except MonitorError as error:
                if error.status in RESYNC_STATUSES:
                    raise ResyncNeededError(str(error)) from error
                failures += 1
                self.status.failure = f"Not connected to control plane: {error}"
                pause = min(pause, backoff_seconds(failures, random.random()))  # noqa: S311 - jitter
            else:
                failures = 0
                self.status.failure = None
                self.status.last_heartbeat = datetime.fromtimestamp(self.now(), UTC)
            await asyncio.sleep(pause)

    async def _beat_once(self) -> None:
        wanted = await self.monitor.heartbeat(self._digests())
        if not wanted:
            return
        try:
            await self._send_lists(wanted)
        except ClusterReadError as error:  # the monitor asks again; that the API server is away, the watches find out
            _log.warning("lists could not be read", kinds=list(wanted), error=str(error))

    def _digests(self) -> str:
        """What the monitor must know by now; nothing while events wait or are on their way."""
        settled = not len(self.queue) and not self._sending.locked()
        return self.told.header if self.monitor.takes_digests and settled else ""

    async def _send_lists(self, kinds: Sequence[ResourceType]) -> None:
        """Complete lists of these kinds. No event goes out between the list and its being taken, so that what was told
        stays known; events that wait meanwhile are judged by their versions, as ever.

        Raises:
            ClusterReadError: a list could not be read whole; nothing was sent.
            MonitorError: they were not taken.
        """
        async with self._sending:
            collections = [listing.collection for listing in self.collected.listings]
            fresh = await collect(self.kubernetes, [one for one in collections if one.kind in kinds])
            await self.monitor.replace_kinds(fresh.objects, kinds)
            self.told.replace(kinds, fresh.objects)
        self.metrics.partial_lists.inc()
        _log.info("sent the lists that the monitor asked for", kinds=list(kinds))


def backoff_seconds(failures: int, share: float) -> float:
    """Full jitter: a random share of a pause that doubles from 0.2 to 30 s."""
    longest = min(_BACKOFF_LAST_SECONDS, _BACKOFF_FIRST_SECONDS * float(2 ** min(failures, 10)))
    return max(0.05, longest * share)
