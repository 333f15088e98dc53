"""What the monitor has been told and has taken: the agent's side of the digests (spec: agent-monitor 20.4). Pure.

Follows the monitor's own rules, so that equal knowledge gives equal digests: an older version changes nothing, and the
end of one object does not end another of the same name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from app.protocol.channels import ResourceType
from app.protocol.digests import Digest, digest_of, encode_digests
from app.protocol.objects import EventType, KubernetesObject, ObjectEvent, compare_versions

_Identity = tuple[str, str]


class ToldObjects:
    """Starts with a complete list; every event that was taken is added."""

    def __init__(self, objects: Iterable[KubernetesObject]) -> None:
        self._objects: dict[ResourceType, dict[str, _Identity]] = {}
        self._digests: dict[ResourceType, Digest] = {}
        self.replace(tuple(ResourceType), objects)

    @property
    def digests(self) -> Mapping[ResourceType, Digest]:
        """By kind, every kind."""
        return self._digests

    @property
    def header(self) -> str:
        """As heartbeats carry it."""
        return encode_digests(self._digests)

    def replace(self, kinds: Collection[ResourceType], objects: Iterable[KubernetesObject]) -> None:
        """A complete list of these kinds was taken."""
        for kind in kinds:
            self._objects[kind] = {}
        for item in objects:
            self._objects[item.kind][item.field] = (item.uid, item.resource_version)
        for kind in kinds:
            self._digests[kind] = digest_of(self._objects[kind].values())

    def taken(self, event: ObjectEvent) -> None:
        """An event was taken."""
        item = event.object
        known = self._objects[item.kind].get(item.field)
        if event.type is EventType.DELETED:
            if known is not None and known[0] == item.uid:
                del self._objects[item.kind][item.field]
                self._digests[item.kind] = self._digests[item.kind].without(*known)
            return
        if known is not None and compare_versions(item.resource_version, known[1]) == -1:
            return
        digest = self._digests[item.kind] if known is None else self._digests[item.kind].without(*known)
        self._objects[item.kind][item.field] = (item.uid, item.resource_version)
        self._digests[item.kind] = digest.with_object(item.uid, item.resource_version)
