"""Where the cache and a live list differ. Pure; `app.observe.informer` reads both (spec: agent-monitor 20.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.observe.planning import KnownKind
from app.protocol.channels import ResourceType
from app.protocol.kubernetes_reads import Listing
from app.protocol.objects import compare_versions

Place = tuple[ResourceType, str]
NOTHING: Final[frozenset[Place]] = frozenset()


def divergences(listings: Mapping[ResourceType, Listing], known: Mapping[ResourceType, KnownKind]) -> frozenset[Place]:
    """The objects that one side has and the other has not, or that differ in uid or version.

    One look may catch a change on its way; what two looks some seconds apart both find is a divergence.
    """
    found: set[Place] = set()
    for kind, listing in listings.items():
        cache = known.get(kind, KnownKind())
        live = {item.field: item for item in listing.objects}
        found.update((kind, name) for name in cache.stored ^ live.keys())
        for name in cache.stored & live.keys():
            entry = cache.entries.get(name)
            same = entry is not None and entry.uid == live[name].uid
            if not same or (entry and compare_versions(entry.version, live[name].resource_version) != 0):
                found.add((kind, name))
    return frozenset(found)
