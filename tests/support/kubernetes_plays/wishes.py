"""Manifests that the plays wish for."""

from __future__ import annotations

from typing import Any

from tests.support.vectors import Json

SKIP: Json = {"pulumi.com/skipAwait": "true"}
FORCE: Json = {"pulumi.com/patchForce": "true"}
WEB = {"app": "web"}


def secret(value: Any) -> Json:
    """A secret as it is on the wire."""
    return {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": value}


def metadata(space: str, name: str | None = None, **more: Any) -> Json:
    return {"namespace": space, **({"name": name} if name else {}), **more}


def config_map(space: str, name: str | None, data: Json, **more: Any) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(space, name, **more), "data": data}


def template(labels: Json, image: str) -> Json:
    return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image}]}}


def once(image: str = "example.org/app:1") -> Json:
    """The template of a pod that ends."""
    return {"spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": image}]}}


def deployment(
    space: str,
    name: str | None,
    replicas: int = 2,
    image: str = "example.org/app:1",
    labels: Json | None = None,
    **annotations: str,
) -> Json:
    labels = labels or WEB
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(space, name, annotations=annotations),
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template(labels, image)},
    }


def service(space: str, name: str, **spec: Any) -> Json:
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata(space, name), "spec": spec}


def node(labels: Json, name: str | None = "v-node", **annotations: str) -> Json:
    named = {"name": name} if name else {}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {**named, "labels": labels, "annotations": annotations}}
