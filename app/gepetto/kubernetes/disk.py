"""Free disk of a node: its ephemeral storage, less what pods have asked for, less a reserve (spec: gepetto 19.6). Pure.

Models in the node's cache folder are not counted: nobody reports their size to the control plane.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from app.gepetto.kubernetes.plan import JsonObject
from app.gepetto.kubernetes.reading import at

#: Kept free for images, logs and the system, in GiB.
RESERVE_GB: Final = 20.0
_LIVE_PHASES: Final = frozenset({"Running", "Pending"})
_BYTES: Final = {
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
    "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "m": 1e-3, "": 1,
}  # fmt: skip


def quantity_gb(value: object) -> float | None:
    """A Kubernetes quantity of bytes in GiB; None for text that is none."""
    text = str(value) if isinstance(value, str | int) else ""
    digits = text.rstrip("KMGTPikm")
    factor = _BYTES.get(text[len(digits) :])
    try:
        return None if factor is None else float(digits) * factor / 2**30
    except ValueError:
        return None


def free_disk_gb(node: JsonObject, pods: Iterable[JsonObject]) -> float | None:
    """Free disk in GiB, never negative; None where the node does not say how much it has."""
    capacity = quantity_gb(at(node, "status", "capacity", "ephemeral-storage"))
    if capacity is None:
        return None
    asked = sum(_asked_gb(pod) for pod in pods if at(pod, "status", "phase") in _LIVE_PHASES)
    return max(0.0, capacity - asked - RESERVE_GB)


def _asked_gb(pod: JsonObject) -> float:
    total = 0.0
    for kind in ("containers", "initContainers"):
        found = at(pod, "spec", kind)
        for container in found if isinstance(found, list) else []:
            total += quantity_gb(at(container, "resources", "requests", "ephemeral-storage")) or 0.0
    return total
