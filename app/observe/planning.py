"""What to change when a complete list of a cluster arrives: additions at once, deletions only on evidence.

Pure: the report, what is known and the time go in, operations come out (spec: agent-monitor 20.1, points 4 to 6).
The scripts inside Redis check every operation again against the versions stored at that moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from app.observe.entries import KnownObject, encode_details, index_terms
from app.protocol.channels import ResourceType
from app.protocol.objects import KIND_OF, EventType, KubernetesObject, ObjectEvent, compare_versions

#: Kinds whose complete disappearance is never believed from one snapshot: consumers delete instances over them.
_PRECIOUS: Final = frozenset({ResourceType.POD, ResourceType.JOB})


class Source(StrEnum):
    """Who made a list. A foreign agent may send a partial list as a complete one; ours never does."""

    FOREIGN_AGENT = "foreign-agent"
    OWN_AGENT = "own-agent"
    LIVE = "live"


class Action(StrEnum):
    """What an operation does."""

    PUT = "put"
    FORCE = "force"
    REMOVE = "remove"
    HOLD = "hold"
    RELEASE = "release"


@dataclass(frozen=True)
class Operation:
    """One step of an `APPLY` script. `expected` is the version that a removal must find, empty for any."""

    action: Action
    kind: ResourceType
    field: str
    uid: str
    version: str = ""
    event: str = ""
    terms: str = ""
    details: bytes = b""
    add_kind: str = ""
    body: bytes = b""

    def arguments(self) -> tuple[str | bytes, ...]:
        """In the order of the script."""
        return (
            self.action.value,
            self.kind.value,
            self.field,
            self.uid,
            self.version,
            self.event,
            self.terms,
            self.details,
            self.add_kind,
            self.body,
        )


@dataclass(frozen=True)
class Hold:
    """A deletion held back: of which object, and since when."""

    uid: str
    first_ms: int


@dataclass(frozen=True)
class KnownKind:
    """What the cache holds of one kind, by field. `stored` are the fields that really have a body."""

    entries: Mapping[str, KnownObject] = field(default_factory=dict)
    stored: frozenset[str] = frozenset()
    held: Mapping[str, Hold] = field(default_factory=dict)


@dataclass(frozen=True)
class ListReport:
    """A complete list of some kinds.

    Args:
        versions: the lists' own versions, known only of live lists.
        force: objects whose cached version two live lists contradicted: take the list's word, however old it looks.
        resets_versions: the same for every object that looks older than the cache: two digests contradicted it.
    """

    source: Source
    objects: Mapping[ResourceType, tuple[KubernetesObject, ...]]
    skipped: Mapping[ResourceType, int] = field(default_factory=dict)
    versions: Mapping[ResourceType, str] = field(default_factory=dict)
    force: frozenset[tuple[ResourceType, str]] = frozenset()
    resets_versions: bool = False


@dataclass(frozen=True)
class ShrinkPolicy:
    """When a list's deletions are doubted, and what confirms them without a live read."""

    free_deletions: int = 3
    free_share: float = 0.2
    confirm_after_seconds: float = 60
    recent_seconds: float = 60


@dataclass(frozen=True)
class Plan:
    """Operations, and counts for the log and the metrics."""

    operations: tuple[Operation, ...]
    held: int
    is_complete: bool


def plan_list(
    report: ListReport, known: Mapping[ResourceType, KnownKind], now_ms: int, policy: ShrinkPolicy | None = None
) -> Plan:
    """The operations that make the cache equal to the report, deletions held back where they are doubtful."""
    operations: list[Operation] = []
    held = 0
    for kind, items in report.objects.items():
        before = known.get(kind, KnownKind())
        operations += _additions(report, kind, items, before)
        absent = before.stored - {item.field for item in items}
        doubtful = _doubtful(report, kind, before, absent, now_ms, policy or ShrinkPolicy())
        held += len(doubtful)
        operations += (
            Operation(Action.HOLD, kind, name, _uid(before, name))
            for name in sorted(doubtful)
            if name not in before.held or before.held[name].uid != _uid(before, name)
        )
        operations += (
            _removal(report, kind, name, before)
            for name in sorted(absent - doubtful - _newer(report, kind, before, absent))
        )
    return Plan(tuple(operations), held, not any(report.skipped.values()))


def plan_event(event: ObjectEvent) -> Operation:
    """The operation of one event."""
    item = event.object
    if event.type is EventType.DELETED:
        return Operation(Action.REMOVE, item.kind, item.field, item.uid, item.resource_version, body=item.body)
    return _put(item, Action.PUT, event.type.value, "")


def _put(item: KubernetesObject, action: Action, event: str, add_kind: str) -> Operation:
    terms = "\t".join(index_terms(item))
    details = encode_details(item)
    return Operation(
        action, item.kind, item.field, item.uid, item.resource_version, event, terms, details, add_kind, item.body
    )


def _additions(
    report: ListReport, kind: ResourceType, items: tuple[KubernetesObject, ...], before: KnownKind
) -> list[Operation]:
    operations = []
    for item in items:
        entry = before.entries.get(item.field) if item.field in before.stored else None
        forced = (kind, item.field) in report.force
        if entry is not None and entry.uid == item.uid and not forced:
            order = compare_versions(item.resource_version, entry.version)
            if order == 0 and item.field in before.held:
                operations.append(Operation(Action.RELEASE, kind, item.field, item.uid))
            forced = order == -1 and report.resets_versions
            if order in {0, -1} and not forced:
                continue
        operations.append(_put(item, Action.FORCE if forced else Action.PUT, "", _missing_kind(item.body, kind)))
    return operations


def _missing_kind(body: bytes, kind: ResourceType) -> str:
    """The kind where the JSON does not state it, as items of a list do not; empty where it does."""
    return "" if b'"kind":"' + KIND_OF[kind].encode() + b'"' in body else KIND_OF[kind]


def _removal(report: ListReport, kind: ResourceType, name: str, before: KnownKind) -> Operation:
    entry = before.entries.get(name)
    version = entry.version if entry else ""
    # The grave bears the list's version where it is known: nothing older than the list can then bring the object back.
    return Operation(
        Action.REMOVE,
        kind,
        name,
        entry.uid if entry else "",
        report.versions.get(kind, version),
        event=version,
        add_kind=KIND_OF[kind],
    )


def _newer(report: ListReport, kind: ResourceType, before: KnownKind, absent: frozenset[str]) -> frozenset[str]:
    """Absent objects that were seen at a version after the live list's: the list cannot know them."""
    version = report.versions.get(kind)
    if report.source is not Source.LIVE or version is None:
        return frozenset()
    return frozenset(
        name
        for name in absent
        if name in before.entries
        and (kind, name) not in report.force
        and compare_versions(before.entries[name].version, version) == 1
    )


def _doubtful(
    report: ListReport,
    kind: ResourceType,
    before: KnownKind,
    absent: frozenset[str],
    now_ms: int,
    policy: ShrinkPolicy,
) -> frozenset[str]:
    """The absent objects that must not be deleted on this report alone."""
    items = report.objects[kind]
    if report.skipped.get(kind, 0) or (kind is ResourceType.NODE and not items):
        return absent
    if report.source is Source.LIVE:
        return frozenset()
    confirmed = _confirmed(report, before, absent, now_ms, policy)
    fresh = absent - confirmed
    allowed = max(policy.free_deletions, policy.free_share * len(before.stored))
    if kind is ResourceType.NODE or len(fresh) > allowed or (kind in _PRECIOUS and not items):
        return fresh
    return frozenset(name for name in fresh if _may_be_younger(items, before.entries.get(name), now_ms, policy))


def _confirmed(
    report: ListReport, before: KnownKind, absent: frozenset[str], now_ms: int, policy: ShrinkPolicy
) -> frozenset[str]:
    """Held deletions that a second complete list of our own agent, long enough after the first, confirms."""
    if report.source is not Source.OWN_AGENT:
        return frozenset()
    oldest = now_ms - policy.confirm_after_seconds * 1000
    return frozenset(
        name
        for name in absent
        if name in before.held and before.held[name].uid == _uid(before, name) and before.held[name].first_ms <= oldest
    )


def _may_be_younger(
    items: tuple[KubernetesObject, ...], entry: KnownObject | None, now_ms: int, policy: ShrinkPolicy
) -> bool:
    """Whether the object may have come into being after the snapshot was listed, reported by somebody else."""
    if entry is None or now_ms - entry.observed_ms > policy.recent_seconds * 1000:
        return False
    return not any(compare_versions(item.resource_version, entry.version) == 1 for item in items)


def _uid(before: KnownKind, name: str) -> str:
    return before.entries[name].uid if name in before.entries else ""
