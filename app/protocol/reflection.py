"""List and watch without gaps (spec: agent-monitor 20.3): list, then watch from that list's own version.

When a watch can go no further from where it was (410), the list is read again and the differences become events, so
that nothing between is lost. The HTTP client is passed in; there is no clock and no retry without a bound here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Final, Protocol

import httpx
import msgspec

from app.protocol.kubernetes_reads import ClusterReadError, Collection, Listing, ListMetadata, list_collection
from app.protocol.objects import (
    EventType,
    KubernetesObject,
    ObjectEvent,
    compare_versions,
    parse_object,
    with_kind,
)

_SERVER_TIMEOUT_SECONDS: Final = 300
#: API servers send a bookmark about every minute: silence for longer than this is a dead connection.
_SILENCE_SECONDS: Final = 90.0
_REOPEN_SECONDS: Final = 0.2
_RETRY_DELAYS_SECONDS: Final = (0.2, 1.0, 2.0, 4.0)


class _ExpiredError(Exception):
    """The version to go on from is too old."""


class Sink(Protocol):
    """Takes what happens in a collection."""

    async def on_event(self, event: ObjectEvent) -> None:
        """One change, seen by the watch or found by comparing two lists."""
        ...

    async def on_list(self, listing: Listing) -> None:
        """The list was read again after a gap; the events of the differences have been given before."""
        ...


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Status(msgspec.Struct):
    code: int | None = None
    message: str | None = None
    metadata: ListMetadata | None = None


_line_decoder: Final = msgspec.json.Decoder(_Line)
_status_decoder: Final = msgspec.json.Decoder(_Status)


class Reflector:
    """Follows one collection from a list on.

    Args:
        keep_bodies: whether events of objects that vanished during a gap carry their last JSON; else a stub.
    """

    def __init__(self, client: httpx.AsyncClient, collection: Collection, *, keep_bodies: bool) -> None:
        self._client = client
        self._collection = collection
        self._keep_bodies = keep_bodies
        self._known: dict[str, KubernetesObject] = {}
        self._version = ""

    async def follow(self, listing: Listing, sink: Sink) -> None:
        """Give every change after the list to the sink; ends only by cancellation or failure.

        Raises:
            ClusterReadError: the API server failed several times in a row, without a single success between.
        """
        self._remember(listing)
        failures = 0
        while True:
            try:
                async for event in self._watch():
                    failures = 0
                    await sink.on_event(event)
                failures = 0
                await asyncio.sleep(_REOPEN_SECONDS)  # a server that ends watches at once must not be run over
            except _ExpiredError:
                failures = await self._relist(sink, failures)
                continue
            except ClusterReadError:
                failures += 1
                if failures >= len(_RETRY_DELAYS_SECONDS):
                    raise
                await asyncio.sleep(_RETRY_DELAYS_SECONDS[failures] * random.uniform(0.5, 1))  # noqa: S311 - jitter

    async def _relist(self, sink: Sink, failures: int) -> int:
        try:
            listing = await list_collection(self._client, self._collection)
        except ClusterReadError:
            if failures + 1 >= len(_RETRY_DELAYS_SECONDS):
                raise
            await asyncio.sleep(_RETRY_DELAYS_SECONDS[failures + 1])
            return failures + 1
        for event in differences(self._known, listing):
            await sink.on_event(event)
        self._remember(listing)
        await sink.on_list(listing)
        return 0

    def _remember(self, listing: Listing) -> None:
        self._known = {item.field: self._kept(item) for item in listing.objects}
        self._version = listing.version

    def _kept(self, item: KubernetesObject) -> KubernetesObject:
        return item if self._keep_bodies else stub(item)

    async def _watch(self) -> AsyncIterator[ObjectEvent]:
        parameters = {
            "watch": "1",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_SERVER_TIMEOUT_SECONDS),
        }
        async for line in _lines(self._client, self._collection.path, parameters):
            event = self._read_line(line)
            if event is not None:
                yield event

    def _read_line(self, line: bytes) -> ObjectEvent | None:
        try:
            parsed = _line_decoder.decode(line)
            if parsed.type in {"BOOKMARK", "ERROR"}:
                status = _status_decoder.decode(parsed.object)
                if parsed.type == "ERROR":
                    raise (
                        _ExpiredError
                        if status.code == 410
                        else ClusterReadError(f"watch: {status.message}", status.code)
                    )
                self._version = status.metadata.resourceVersion if status.metadata else self._version
                return None
            event = ObjectEvent(EventType(parsed.type), parse_object(bytes(parsed.object), self._collection.kind))
        except (msgspec.MsgspecError, ValueError) as error:
            raise ClusterReadError(f"the watch of {self._collection.path} sent an unreadable line: {error}") from None
        self._version = event.object.resource_version or self._version
        if event.type is EventType.DELETED:
            self._known.pop(event.object.field, None)
        else:
            self._known[event.object.field] = self._kept(event.object)
        return event


def differences(known: dict[str, KubernetesObject], listing: Listing) -> Sequence[ObjectEvent]:
    """The events that lead from what was known to a list. A new uid under an old name is a deletion and an addition."""
    events = []
    now = {item.field: item for item in listing.objects}
    for name, before in known.items():
        after = now.get(name)
        if after is None or after.uid != before.uid:
            events.append(ObjectEvent(EventType.DELETED, replace(before, body=with_kind(before))))
    for name, after in now.items():
        earlier = known.get(name)
        if earlier is None or earlier.uid != after.uid:
            events.append(ObjectEvent(EventType.ADDED, replace(after, body=with_kind(after))))
        elif compare_versions(earlier.resource_version, after.resource_version) != 0:
            events.append(ObjectEvent(EventType.MODIFIED, replace(after, body=with_kind(after))))
    return events


def stub(item: KubernetesObject) -> KubernetesObject:
    """The object with only the metadata that identifies it as its JSON."""
    metadata = {"name": item.name, "uid": item.uid, "resourceVersion": item.resource_version, "labels": item.labels}
    if item.namespace:
        metadata["namespace"] = item.namespace
    body = msgspec.json.encode({"kind": item.kind.value.capitalize(), "metadata": metadata})
    return replace(item, body=body)


async def _lines(client: httpx.AsyncClient, path: str, parameters: dict[str, str]) -> AsyncIterator[bytes]:
    """The lines of a watch, until the server ends it."""
    timeout = httpx.Timeout(_SILENCE_SECONDS, connect=5.0)
    try:
        async with client.stream("GET", path, params=parameters, timeout=timeout) as response:
            if response.status_code == 410:
                raise _ExpiredError
            if response.status_code != 200:
                raise ClusterReadError(f"watch of {path} gave {response.status_code}", response.status_code)
            rest = b""
            async for chunk in response.aiter_bytes():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield line
    except (httpx.HTTPError, OSError) as error:
        raise ClusterReadError(f"the watch of {path} broke: {type(error).__name__}") from None
