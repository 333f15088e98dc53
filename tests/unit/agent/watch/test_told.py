"""What the agent takes for told follows the monitor's own rules (spec: agent-monitor 20.4)."""

from __future__ import annotations

from agent.watch.told import ToldObjects
from app.protocol.channels import ResourceType
from app.protocol.digests import Digest, decode_digests, digest_of
from app.protocol.objects import EventType, KubernetesObject, ObjectEvent
from tests.support.kubernetes_objects import node, parsed, pod


def item(name: str, version: int, uid: str = "") -> KubernetesObject:
    return parsed(pod(name, version, uid=uid or f"u-{name}"))


def test_events_lead_to_the_digest_of_the_objects_that_are_left() -> None:
    told = ToldObjects([item("a", 1), item("b", 1), parsed(node())])
    told.taken(ObjectEvent(EventType.MODIFIED, item("a", 3)))
    told.taken(ObjectEvent(EventType.DELETED, item("b", 4)))
    told.taken(ObjectEvent(EventType.ADDED, item("c", 5)))
    told.taken(ObjectEvent(EventType.TERMINATING, item("c", 6)))
    assert told.digests[ResourceType.POD] == digest_of([("u-a", "3"), ("u-c", "6")])
    assert told.digests[ResourceType.NODE].count == 1
    assert decode_digests(told.header) == told.digests


def test_late_words_change_nothing() -> None:
    told = ToldObjects([item("a", 5, "new")])
    before = told.digests[ResourceType.POD]
    told.taken(ObjectEvent(EventType.MODIFIED, item("a", 4, "new")))
    told.taken(ObjectEvent(EventType.DELETED, item("a", 4, "old")))
    told.taken(ObjectEvent(EventType.DELETED, item("never", 4)))
    assert told.digests[ResourceType.POD] == before


def test_a_list_of_some_kinds_replaces_these_kinds_alone() -> None:
    told = ToldObjects([item("a", 1), parsed(node())])
    told.replace([ResourceType.POD], [])
    assert told.digests[ResourceType.POD] == Digest()
    assert told.digests[ResourceType.NODE].count == 1
