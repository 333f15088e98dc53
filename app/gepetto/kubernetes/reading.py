"""What Kubernetes objects say of deployments. Pure; knows no client."""

from __future__ import annotations

from datetime import datetime

from app.gepetto.kubernetes.plan import JsonObject
from app.gepetto.world.views import NodeState, PodView
from app.protocol import labels


def at(item: object, *keys: str) -> object:
    """What lies at a path of keys; None where there is none."""
    for key in keys:
        item = item.get(key) if isinstance(item, dict) else None
    return item


def node_state(node: object) -> NodeState:
    """Whether a node takes new pods; what says nothing of it does. One is draining only while it is closed too."""
    if at(node, "spec", "unschedulable") is not True:
        return NodeState.OPEN
    return NodeState.CLOSED if at(node, "metadata", "annotations", labels.DRAINING) is None else NodeState.DRAINING


def node_ports(item: JsonObject) -> dict[tuple[str, int], int]:
    """Node ports of a Service by protocol and port."""
    ports = at(item, "spec", "ports")
    found: dict[tuple[str, int], int] = {}
    for port in ports if isinstance(ports, list) else []:
        if "nodePort" in port:
            found[str(port.get("protocol", "TCP")), int(port["port"])] = int(port["nodePort"])
    return found


def pod_view(item: JsonObject, server_id: str) -> PodView | None:
    """What a Job or a pod says of its deployment; None for an object without our label."""
    found = at(item, "metadata", "labels")
    names = found if isinstance(found, dict) else {}
    deployment_id = names.get(labels.DEPLOYMENT_ID)
    if not deployment_id:
        return None
    created = str(at(item, "metadata", "creationTimestamp") or "1970-01-01T00:00:00Z")
    status = at(item, "status")
    state = status if isinstance(status, dict) else {}
    containers = state.get("containerStatuses") or []
    ended = any(at(one, "state", "terminated") for one in containers if one.get("name") == "chute")
    return PodView(
        deployment_id=str(deployment_id),
        server_id=server_id,
        created_at=datetime.fromisoformat(created).timestamp(),
        config_id=names.get(labels.CONFIG_ID),
        job_id=names.get(labels.JOB_ID),
        ready=bool(containers) and all(one.get("ready") for one in containers),
        finished=bool(state.get("succeeded") or state.get("failed"))
        or state.get("phase") in {"Succeeded", "Failed"}
        or ended,
    )


def merge(known: PodView | None, other: PodView) -> PodView:
    """A deployment's Job and pods as one view."""
    if known is None:
        return other
    return PodView(
        known.deployment_id,
        known.server_id,
        min(known.created_at, other.created_at),
        known.config_id or other.config_id,
        known.job_id or other.job_id,
        known.ready or other.ready,
        known.finished or other.finished,
    )
