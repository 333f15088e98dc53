"""Operations that an engine began and never finished, as an exported state lists them. Pure: text in, text out."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: An exported state.
State = Mapping[str, Any]


@dataclass(frozen=True)
class Pending:
    """One unfinished operation. `object_id` is set where the thing it was creating can be found again."""

    urn: str
    type: str
    operation: str
    object_id: str | None = None

    @property
    def name(self) -> str:
        return self.urn.rsplit("::", 1)[-1]

    def __str__(self) -> str:
        return f"{self.operation} {self.type} {self.name}"


def pending_operations(state: State) -> list[Pending]:
    """What was under way when the engine ended."""
    operations = (state.get("deployment") or {}).get("pending_operations") or []
    return [_pending(operation) for operation in operations]


def without_pending(state: State) -> dict[str, Any]:
    """The state with no unfinished operation. Nothing else is touched."""
    cleared = copy.deepcopy(dict(state))
    cleared["deployment"].pop("pending_operations", None)
    return cleared


def adopt_arguments(pending: Sequence[Pending]) -> list[str]:
    """Arguments of `pulumi refresh` that take over those objects that may exist already: creating them again would
    fail. Where one does not exist, the refresh drops it and the next update creates it."""
    arguments = []
    for item in pending:
        if item.object_id is not None:
            arguments += ["--import-pending-creates", item.urn, "--import-pending-creates", item.object_id]
            arguments += ["--target", item.urn]
    return arguments


def _pending(operation: Mapping[str, Any]) -> Pending:
    resource = operation["resource"]
    kind = str(operation["type"])
    found = _object_id(resource) if kind == "creating" else None
    return Pending(urn=resource["urn"], type=resource["type"], operation=kind, object_id=found)


def _object_id(resource: Mapping[str, Any]) -> str | None:
    """The id that a Kubernetes object will have: its name was computed before the engine began to create it."""
    if not resource["type"].startswith("kubernetes:"):
        return None
    inputs = resource.get("inputs") or {}
    place = inputs if resource["type"].startswith("kubernetes:helm.sh/") else inputs.get("metadata") or {}
    name, namespace = place.get("name"), place.get("namespace")
    if not isinstance(name, str):
        return None
    return f"{namespace}/{name}" if isinstance(namespace, str) and namespace else name
