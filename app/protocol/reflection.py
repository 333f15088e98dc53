"""List and watch without gaps (spec: agent-monitor 20.3): list, then watch from that list's own version.

When a watch can go no further from where it was (410), the list is read again and the differences become events, so
that nothing between is lost. The HTTP client is passed in; there is no clock and no retry without a bound here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Protocol

import httpx
import msgspec

from app.protocol.channels import ResourceType
from app.protocol.objects import (
    EventType,
    KubernetesObject,
    MalformedObjectError,
    ObjectEvent,
    compare_versions,
    parse_items,
    parse_object,
    with_kind,
)

_PAGE: Final = 500
_SERVER_TIMEOUT_SECONDS: Final = 300
#: API servers send a bookmark about every minute: silence for longer than this is a dead connection.
_SILENCE_SECONDS: Final = 90.0
_REOPEN_SECONDS: Final = 0.2
_RETRY_DELAYS_SECONDS: Final = (0.2, 1.0, 2.0, 4.0)
_PATHS: Final = {
    ResourceType.NODE: "/api/v1/nodes",
    ResourceType.POD: "/api/v1/namespaces/{}/pods",
    ResourceType.SERVICE: "/api/v1/namespaces/{}/services",
    ResourceType.DEPLOYMENT: "/apis/apps/v1/namespaces/{}/deployments",
    ResourceType.JOB: "/apis/batch/v1/namespaces/{}/jobs",
}
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


class ClusterReadError(RuntimeError):
    """The API server did not give a complete answer; nothing may be concluded. `status` is its HTTP status, if any."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class _ExpiredError(Exception):
    """The version to go on from is too old."""


class Presence(StrEnum):
    """Whether an object is there; another object under the same name counts as gone."""

    PRESENT = "present"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Collection:
    """One kind in one namespace; nodes have no namespace."""

    kind: ResourceType
    namespace: str | None = None

    @property
    def path(self) -> str:
        return _PATHS[self.kind].format(self.namespace)


@dataclass(frozen=True)
class Listing:
    """A complete list at one version."""

    collection: Collection
    version: str
    objects: tuple[KubernetesObject, ...]
    skipped: int = 0


class Sink(Protocol):
    """Takes what happens in a collection."""

    async def on_event(self, event: ObjectEvent) -> None:
        """One change, seen by the watch or found by comparing two lists."""
        ...

    async def on_list(self, listing: Listing) -> None:
        """The list was read again after a gap; the events of the differences have been given before."""
        ...


class _ListMetadata(msgspec.Struct):
    resourceVersion: str  # noqa: N815 - Kubernetes' own name
    continue_: str | None = msgspec.field(default=None, name="continue")


class _List(msgspec.Struct):
    metadata: _ListMetadata
    items: list[msgspec.Raw] | None = None


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Status(msgspec.Struct):
    code: int | None = None
    message: str | None = None
    metadata: _ListMetadata | None = None


_list_decoder: Final = msgspec.json.Decoder(_List)
_line_decoder: Final = msgspec.json.Decoder(_Line)
_status_decoder: Final = msgspec.json.Decoder(_Status)


async def list_collection(
    client: httpx.AsyncClient, collection: Collection, *, metadata_only: bool = False, attempts: int = 2
) -> Listing:
    """Read a whole collection at one version, in pages.

    Raises:
        ClusterReadError: any page failed. There is no partial result.
    """
    headers = {"Accept": _METADATA_ONLY} if metadata_only else {}
    objects: list[KubernetesObject] = []
    skipped, version = 0, ""
    parameters: dict[str, str] = {"limit": str(_PAGE)}
    while True:
        response = await _get(client, collection.path, parameters, headers)
        if (
            response.status_code == 410 and attempts > 1
        ):  # the pages' version expired while we read them: from the start
            return await list_collection(client, collection, metadata_only=metadata_only, attempts=attempts - 1)
        if response.status_code != 200:
            raise ClusterReadError(f"GET {collection.path} gave {response.status_code}", response.status_code)
        try:
            page = _list_decoder.decode(response.content)
        except msgspec.MsgspecError as error:
            raise ClusterReadError(f"GET {collection.path} gave no list: {error}") from None
        found, unreadable = parse_items(page.items or [], collection.kind)
        objects += found
        skipped += unreadable
        version = version or page.metadata.resourceVersion
        if not page.metadata.continue_:
            return Listing(collection, version, tuple(objects), skipped)
        parameters = {"limit": str(_PAGE), "continue": page.metadata.continue_}


async def look_up(client: httpx.AsyncClient, item: KubernetesObject) -> Presence:
    """Whether exactly this object is still there. Any answer but 200 and 404 leaves it open."""
    path = f"{Collection(item.kind, item.namespace).path}/{item.name}"
    try:
        response = await _get(client, path, {}, {})
    except ClusterReadError:
        return Presence.UNKNOWN
    if response.status_code == 404:
        return Presence.GONE
    if response.status_code != 200:
        return Presence.UNKNOWN
    try:
        found = parse_object(response.content, item.kind)
    except MalformedObjectError:
        return Presence.UNKNOWN
    return Presence.PRESENT if found.uid == item.uid or not item.uid else Presence.GONE


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


async def _get(
    client: httpx.AsyncClient, path: str, parameters: dict[str, str], headers: dict[str, str]
) -> httpx.Response:
    try:
        return await client.get(path, params=parameters, headers=headers)
    except (httpx.HTTPError, OSError) as error:
        raise ClusterReadError(f"GET {path} failed: {type(error).__name__}") from None


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
