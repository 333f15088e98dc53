"""What to remove after failed chutes. Pure: three complete lists and the time go in, deletions come out.

Fails closed: an object whose age cannot be told stays. A service is created before its job, so a young one stays too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from app.protocol.channels import ResourceType
from app.protocol.labels import CHUTE, DEPLOYMENT_ID
from app.protocol.objects import KubernetesObject

KEEP_FAILED_SECONDS: Final = 600.0
KEEP_SERVICE_SECONDS: Final = 300.0


@dataclass(frozen=True)
class Removal:
    """One object to delete: only if it still is this one at this version. `reason` goes to the log."""

    kind: ResourceType
    namespace: str
    name: str
    uid: str
    resource_version: str
    reason: str


def decide(
    pods: Sequence[KubernetesObject], jobs: Sequence[KubernetesObject], services: Sequence[KubernetesObject], now: float
) -> tuple[Removal, ...]:
    """The removals; `now` in Unix seconds."""
    alive = {item.labels.get(DEPLOYMENT_ID) for item in (*jobs, *pods)}
    failed = (_failed_pod(item, now) for item in pods if item.labels.get(CHUTE) == "true")
    orphans = (_orphan(item, alive, now) for item in services if item.labels.get(CHUTE) == "true")
    return tuple(removal for removal in (*failed, *orphans) if removal is not None)


def _failed_pod(item: KubernetesObject, now: float) -> Removal | None:
    if item.phase != "Failed":
        return None
    body = orjson.loads(item.body)
    finished = finished_at(body)
    if finished is None or now - finished < KEEP_FAILED_SECONDS:
        return None
    return _removal(item, f"failed: {exit_reasons(body)}")


def _orphan(item: KubernetesObject, alive: set[str | None], now: float) -> Removal | None:
    body = orjson.loads(item.body)
    selector = (body.get("spec") or {}).get("selector") or {}
    deployment_id = selector.get(DEPLOYMENT_ID)
    created = _seconds((body.get("metadata") or {}).get("creationTimestamp"))
    if not deployment_id or deployment_id in alive or created is None or now - created < KEEP_SERVICE_SECONDS:
        return None
    return _removal(item, f"no job or pod of deployment {deployment_id}")


def _removal(item: KubernetesObject, reason: str) -> Removal:
    return Removal(item.kind, item.namespace or "", item.name, item.uid, item.resource_version, reason)


def finished_at(pod: dict[str, Any]) -> float | None:
    """When a failed pod's last container ended, or else when its last condition changed; None when nothing tells."""
    status = pod.get("status") or {}
    states = [(entry.get("state") or {}).get("terminated") or {} for entry in status.get("containerStatuses") or ()]
    times = [_seconds(state.get("finishedAt")) for state in states]
    times += [_seconds(condition.get("lastTransitionTime")) for condition in status.get("conditions") or ()]
    known = [moment for moment in (*times, _seconds(status.get("startTime"))) if moment is not None]
    return max(known, default=None)


def exit_reasons(pod: dict[str, Any]) -> str:
    """Why a pod failed, in a line: its own reason, and its containers' exit codes."""
    status = pod.get("status") or {}
    reasons = [str(status["reason"])] if status.get("reason") else []
    for entry in status.get("containerStatuses") or ():
        ended = (entry.get("state") or {}).get("terminated")
        if ended:
            reasons.append(f"{entry.get('name')} exited {ended.get('exitCode')} ({ended.get('reason')})")
    return "; ".join(reasons) or "no reason given"


def _seconds(text: object) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
