"""Which field manager owns what of an object (`metadata.managedFields`). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lab.engine.kubernetes.manifests import Manifest, items, pluck, text

#: The manager of plain creates. Its fields go to the applying manager with the first update.
CREATOR: Final = "pulumi-kubernetes"
_CREATORS: Final = frozenset({CREATOR, "pulumi-resource-kubernetes", "pulumi-kubernetes.exe"})
#: Managers whose fields a real update takes over, by the start of their name and the operation: kubectl is a hand of
#: the same user, the others are the provider's own earlier names.
_TAKEN_OVER: Final = (
    ("kubectl", "Apply"),
    ("kubectl", "Update"),
    ("before-first-apply", "Update"),
    *((name, "Update") for name in _CREATORS),
)


def was_only_created(live: Manifest) -> bool:
    """Whether fields still belong to the create, so that no update was applied yet."""
    return any(
        text(entry, "operation") == "Update" and text(entry, "manager") in _CREATORS
        for entry in items(live, "metadata", "managedFields")
    )


def taken_over(live: Manifest, manager: str) -> list[object] | None:
    """`managedFields` with the fields of kubectl and of the create given to `manager`; None if there are none."""
    kept: list[object] = []
    fields: Manifest = {}
    version, was_ours, found = "", False, False
    for entry in items(live, "metadata", "managedFields"):
        is_ours = text(entry, "manager") == manager and text(entry, "operation") == "Apply"
        is_taken = not text(entry, "subresource") and any(
            text(entry, "manager").startswith(name) and text(entry, "operation") == operation
            for name, operation in _TAKEN_OVER
        )
        if not is_ours and not is_taken:
            kept.append(entry)
            continue
        fields = _united(fields, pluck(entry, "fieldsV1"))
        version = version if was_ours else text(entry, "apiVersion")
        was_ours, found = was_ours or is_ours, found or is_taken
    if not found:
        return None
    ours = {"manager": manager, "operation": "Apply", "apiVersion": version, "fieldsType": "FieldsV1"}
    return [*kept, {**ours, "fieldsV1": fields}]


def _united(left: Manifest, right: object) -> Manifest:
    if not isinstance(right, dict):
        return left
    result = dict(left)
    for key, value in right.items():
        before = result.get(key)
        result[key] = _united(before if isinstance(before, dict) else {}, value)
    return result


def owns(live: Manifest, path: Sequence[str], *, manager: str, others: bool) -> bool:
    """Whether the manager (or, with `others`, anybody else) owns the field at `path` or something in it."""
    keys = [f"f:{part}" for part in path]
    return any(
        (text(entry, "manager") != manager) == others and pluck(entry, "fieldsV1", *keys) is not None
        for entry in items(live, "metadata", "managedFields")
    )
