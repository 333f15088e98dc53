"""Kubernetes objects as they travel between agents, monitor and cache (spec: agent-monitor 4): raw JSON, few fields.

Pure. An object's JSON is kept as it was received; only the fields below are looked at, so that a field that we do not
know is never lost and a 15 kB pod costs microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from app.protocol.channels import ResourceType, resource_field

KIND_OF: Final[Mapping[ResourceType, str]] = MappingProxyType({kind: kind.value.capitalize() for kind in ResourceType})
TYPE_OF: Final[Mapping[str, ResourceType]] = MappingProxyType({name: kind for kind, name in KIND_OF.items()})


class MalformedObjectError(ValueError):
    """JSON that is not what the wire format asks for; the message names the place."""


class EventType(StrEnum):
    """What happened to an object. TERMINATING is no word of Kubernetes: reported gone, and still readable."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    TERMINATING = "TERMINATING"
    DELETED = "DELETED"


@dataclass(frozen=True)
class KubernetesObject:
    """One object: what identifies it, what readers look for, and its JSON untouched."""

    kind: ResourceType
    namespace: str | None
    name: str
    uid: str
    resource_version: str
    body: bytes = field(repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    node_name: str | None = None
    phase: str | None = None
    is_terminating: bool = False

    @property
    def field(self) -> str:
        """Its field in the cache's hash."""
        return resource_field(self.namespace, self.name)


@dataclass(frozen=True)
class ObjectEvent:
    """One change of one object."""

    type: EventType
    object: KubernetesObject


@dataclass(frozen=True)
class Snapshot:
    """Every object of a cluster, by kind; `skipped` counts objects that could not be read and were left out.

    `is_partial`: it speaks of some kinds only, and only those are in the mappings.
    """

    objects: Mapping[ResourceType, tuple[KubernetesObject, ...]]
    skipped: Mapping[ResourceType, int]
    is_partial: bool = False

    @property
    def total(self) -> int:
        return sum(len(items) for items in self.objects.values())


class _Metadata(msgspec.Struct):
    name: str
    namespace: str | None = None
    uid: str | None = None
    resourceVersion: str | None = None  # noqa: N815 - Kubernetes' own name
    labels: dict[str, str] | None = None
    deletionTimestamp: str | None = None  # noqa: N815


class _NodeName(msgspec.Struct):
    nodeName: str | None = None  # noqa: N815


class _Status(msgspec.Struct):
    phase: str | None = None
    #: Pods of a Job by how they ended.
    succeeded: int | None = None
    failed: int | None = None


class _Object(msgspec.Struct):
    metadata: _Metadata
    kind: str | None = None
    spec: _NodeName | None = None
    status: _Status | None = None


class _Event(msgspec.Struct):
    type: EventType
    object: msgspec.Raw


class _EventBody(msgspec.Struct):
    event: _Event


class _EventsBody(msgspec.Struct):
    events: list[_Event]


class _Resources(msgspec.Struct):
    deployments: list[msgspec.Raw] = []
    services: list[msgspec.Raw] = []
    pods: list[msgspec.Raw] = []
    nodes: list[msgspec.Raw] = []
    jobs: list[msgspec.Raw] = []


class _SnapshotBody(msgspec.Struct):
    resources: _Resources
    kinds: list[ResourceType] | None = None


_Decoded = TypeVar("_Decoded")
_object_decoder: Final = msgspec.json.Decoder(_Object)
_event_decoder: Final = msgspec.json.Decoder(_EventBody)
_events_decoder: Final = msgspec.json.Decoder(_EventsBody)
_snapshot_decoder: Final = msgspec.json.Decoder(_SnapshotBody)


def _decoded(decoder: msgspec.json.Decoder[_Decoded], body: bytes) -> _Decoded:
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise MalformedObjectError(str(error)) from None
    except UnicodeDecodeError as error:
        raise MalformedObjectError(f"not UTF-8: {error.reason}") from None


def parse_object(body: bytes, kind: ResourceType | None = None) -> KubernetesObject:
    """Read one object.

    Args:
        body: its JSON.
        kind: what it is known to be, for an item of a list, which carries no kind; None takes the kind that it states.

    Raises:
        MalformedObjectError: not an object with a name, or of a kind that is not observed.
    """
    parsed = _decoded(_object_decoder, body)
    stated = TYPE_OF.get(parsed.kind or "") if kind is None else kind
    if stated is None:
        raise MalformedObjectError(f"object.kind is {parsed.kind!r}, wanted one of {', '.join(TYPE_OF)}")
    metadata = parsed.metadata
    return KubernetesObject(
        kind=stated,
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid or "",
        resource_version=metadata.resourceVersion or "",
        body=body,
        labels=metadata.labels or {},
        node_name=parsed.spec.nodeName if parsed.spec else None,
        phase=_phase(stated, parsed.status),
        is_terminating=metadata.deletionTimestamp is not None,
    )


def _phase(kind: ResourceType, status: _Status | None) -> str | None:
    """The phase as stated; a Job states none, and is what its pods were: none of ours starts a second one."""
    if status is None or kind is not ResourceType.JOB:
        return None if status is None else status.phase
    return "Succeeded" if status.succeeded else "Failed" if status.failed else None


def parse_event(body: bytes) -> ObjectEvent:
    """Read the body of an event request (spec: agent-monitor 4.6).

    Raises:
        MalformedObjectError: not an event, an unknown event type, or an object that cannot be read.
    """
    event = _decoded(_event_decoder, body).event
    return ObjectEvent(event.type, parse_object(bytes(event.object)))


def parse_events(body: bytes) -> list[ObjectEvent]:
    """Read the body of a batch of events: `{"events": [{"type", "object"}, ...]}`.

    Raises:
        MalformedObjectError: as `parse_event`; one bad event refuses the batch.
    """
    events = _decoded(_events_decoder, body).events
    return [ObjectEvent(event.type, parse_object(bytes(event.object))) for event in events]


def parse_snapshot(body: bytes) -> Snapshot:
    """Read the body of a snapshot request (spec: agent-monitor 4.5); unreadable objects are skipped and counted.

    Raises:
        MalformedObjectError: the body as a whole is not a snapshot; a list that is null counts as that.
    """
    parsed = _decoded(_snapshot_decoder, body)
    objects, skipped = {}, {}
    for kind in ResourceType if parsed.kinds is None else parsed.kinds:
        objects[kind], skipped[kind] = parse_items(getattr(parsed.resources, f"{kind.value}s"), kind)
    return Snapshot(objects, skipped, is_partial=parsed.kinds is not None)


def parse_items(items: Iterable[msgspec.Raw | bytes], kind: ResourceType) -> tuple[tuple[KubernetesObject, ...], int]:
    """The objects of one list, and how many could not be read."""
    objects, skipped = [], 0
    for raw in items:
        try:
            objects.append(parse_object(bytes(raw), kind))
        except MalformedObjectError:
            skipped += 1
    return tuple(objects), skipped


def with_kind(item: KubernetesObject) -> bytes:
    """The object's JSON with `kind` in it: an event must state it, and an item of a list does not."""
    if _object_decoder.decode(item.body).kind is not None:
        return item.body
    return b'{"kind":"' + KIND_OF[item.kind].encode() + b'",' + item.body.lstrip()[1:]


def event_body(event: ObjectEvent) -> bytes:
    """The body of an event request."""
    return b'{"event":' + _event_json(event) + b"}"


def events_body(events: Iterable[ObjectEvent]) -> bytes:
    """The body of a batch of events."""
    return b'{"events":[' + b",".join(map(_event_json, events)) + b"]}"


def _event_json(event: ObjectEvent) -> bytes:
    return b'{"type":"' + event.type.value.encode() + b'","object":' + with_kind(event.object) + b"}"


def snapshot_body(objects: Iterable[KubernetesObject]) -> bytes:
    """The body of a snapshot request: always all five lists, in the public agent's order of keys."""
    by_kind: dict[ResourceType, list[bytes]] = {kind: [] for kind in ResourceType}
    for item in objects:
        by_kind[item.kind].append(item.body)
    order = ("deployment", "service", "pod", "node", "job")
    lists = (b'"' + name.encode() + b's":[' + b",".join(by_kind[ResourceType(name)]) + b"]" for name in order)
    return b'{"resources":{' + b",".join(lists) + b"}}"


def partial_snapshot_body(objects: Iterable[KubernetesObject], kinds: Iterable[ResourceType]) -> bytes:
    """Complete lists of some kinds, for a monitor that asked for them. `kinds` is ours and says so in the signed body,
    so that nothing on the way can turn such a snapshot into one of an emptier cluster."""
    names = b",".join(b'"' + kind.value.encode() + b'"' for kind in kinds)
    return snapshot_body(objects)[:-1] + b',"kinds":[' + names + b"]}"


def compare_versions(left: str, right: str) -> int | None:
    """-1, 0 or 1 as `left` is older than, equal to or newer than `right`; None when that cannot be known.

    Kubernetes calls versions opaque; etcd's and kine's are decimal and grow. Any other pair is only equal or unknown.
    """
    if left == right:
        return 0
    if not (left.isascii() and left.isdigit() and right.isascii() and right.isdigit()):
        return None
    return -1 if int(left) < int(right) else 1
