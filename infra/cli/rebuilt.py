"""The state after a machine's cluster was removed with its data: what stood on it is gone, and is made anew.

Without this the engine would take every object there for made, and leave the new cluster empty. Called only once the
runner has said that the cluster is gone.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from infra.cli.engine import Engine
from infra.cli.pending import State

_PROVIDER: Final = "pulumi:providers:kubernetes"


def forget_cluster(engine: Engine, node: str) -> int:
    """Take the objects of a node's cluster out of the stack's state; how many there were.

    Raises:
        infra.cli.engine.EngineError: the state could not be read or written; it is as it was.
    """
    state = json.loads(engine.quietly("stack", "export"))
    left, forgotten = without_cluster(state, node)
    if forgotten:
        engine.quietly("stack", "import", stdin=json.dumps(left))
    return forgotten


def without_cluster(state: State, node: str) -> tuple[dict[str, Any], int]:
    """The state without the objects of one cluster, known by its node's name (D4), and how many they were. Pure.

    The cluster's provider stays, and so does everything that waited for those objects.
    """
    left = copy.deepcopy(dict(state))
    deployment = left.get("deployment") or {}
    resources = deployment.get("resources") or []
    providers = tuple(
        f"{resource['urn']}::"
        for resource in resources
        if resource["type"] == _PROVIDER and (resource.get("inputs") or {}).get("clusterIdentifier") == node
    )
    gone = {item["urn"] for item in resources if str(item.get("provider", "")).startswith(providers) and providers}
    if gone:
        deployment["resources"] = [_unbound(item, gone) for item in resources if item["urn"] not in gone]
    return left, len(gone)


def _unbound(resource: Mapping[str, Any], gone: Collection[str]) -> dict[str, Any]:
    """A resource that waits for nothing that is gone: the engine takes no state with a loose end."""
    found = dict(resource)
    if "dependencies" in found:
        found["dependencies"] = [urn for urn in found["dependencies"] or [] if urn not in gone]
    if "propertyDependencies" in found:
        found["propertyDependencies"] = {
            key: [urn for urn in urns or [] if urn not in gone]
            for key, urns in (found["propertyDependencies"] or {}).items()
        }
    if found.get("deletedWith") in gone:
        del found["deletedWith"]
    return found
