"""Kubernetes objects for tests: pods of realistic size with everything that readers look at. Made up, and named so."""

from __future__ import annotations

from typing import Any

import orjson

from app.protocol.channels import ResourceType
from app.protocol.objects import KubernetesObject, parse_object

Json = dict[str, Any]


def pod(
    name: str, version: int = 1, *, uid: str | None = None, node: str = "gpu-1", size: int = 0, **labels: str
) -> Json:
    """A chute pod of about 1 kB, padded to `size` bytes by environment variables with made-up values."""
    body = _object("Pod", name, version, uid, labels or {"chutes/chute": "true", "chutes/deployment-id": f"dep-{name}"})
    body["spec"] = {
        "nodeName": node,
        "containers": [
            {"name": "chute", "image": "test.invalid/chute:1", "env": [{"name": "TOKEN", "value": "made-up"}]}
        ],
    }
    body["status"] = {"phase": "Running", "podIP": "198.18.0.9"}
    missing = size - len(orjson.dumps(body))
    if missing > 0:
        filler = [{"name": f"FILLER_{n}", "value": "x" * 180} for n in range(missing // 210)]
        body["spec"]["containers"][0]["env"] += filler
    return body


def job(name: str, version: int = 1, *, uid: str | None = None) -> Json:
    """A chute job."""
    body = _object("Job", name, version, uid, {"chutes/chute": "true", "chutes/deployment-id": f"dep-{name}"})
    return body | {"spec": {"template": {}}, "status": {"active": 1}}


def service(name: str, version: int = 1, *, uid: str | None = None) -> Json:
    """A chute service."""
    return _object("Service", name, version, uid, {"chutes/chute": "true"}) | {"spec": {"type": "NodePort"}}


def deployment(name: str, version: int = 1, *, uid: str | None = None) -> Json:
    """A deployment."""
    return _object("Deployment", name, version, uid, {}) | {"spec": {"replicas": 1}}


def node(name: str = "gpu-1", version: int = 1, *, uid: str | None = None) -> Json:
    """A node."""
    body = _object("Node", name, version, uid, {"chutes/worker": "true"})
    del body["metadata"]["namespace"]
    return body | {"status": {"capacity": {"nvidia.com/gpu": "8"}}}


def snapshot(
    pods: list[Json] | None = None,
    jobs: list[Json] | None = None,
    services: list[Json] | None = None,
    deployments: list[Json] | None = None,
    nodes: list[Json] | None = None,
) -> bytes:
    """A snapshot body as agents send it: items of lists carry no kind."""
    lists = {
        "deployments": deployments or [],
        "services": services or [],
        "pods": pods or [],
        "nodes": [node()] if nodes is None else nodes,
        "jobs": jobs or [],
    }
    bare = {name: [{k: v for k, v in item.items() if k != "kind"} for item in items] for name, items in lists.items()}
    return orjson.dumps({"resources": bare})


def event(kind: str, body: Json) -> bytes:
    """An event body."""
    return orjson.dumps({"event": {"type": kind, "object": body}})


def parsed(body: Json, kind: ResourceType | None = None) -> KubernetesObject:
    """The object as programs hold it."""
    return parse_object(orjson.dumps(body), kind)


def _object(kind: str, name: str, version: int, uid: str | None, labels: dict[str, str]) -> Json:
    return {
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": "chutes",
            "uid": uid or f"uid-{kind}-{name}",
            "resourceVersion": str(version),
            "creationTimestamp": "2026-01-01T00:00:00+00:00",
            "labels": labels,
        },
    }
