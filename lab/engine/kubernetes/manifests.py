"""Reading and reshaping Kubernetes manifests held as plain dicts. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Final, TypeAlias

from lab.engine.kubernetes.values import Properties, plain

#: A Kubernetes object as JSON has it; in previews a leaf can be `Unknown`.
Manifest: TypeAlias = dict[str, object]

AUTONAMED: Final = "pulumi.com/autonamed"
SKIP_AWAIT: Final = "pulumi.com/skipAwait"
WAIT_FOR: Final = "pulumi.com/waitFor"
PATCH_FORCE: Final = "pulumi.com/patchForce"
PATCH_FIELD_MANAGER: Final = "pulumi.com/patchFieldManager"
TIMEOUT_SECONDS: Final = "pulumi.com/timeoutSeconds"
DELETION_PROPAGATION: Final = "pulumi.com/deletionPropagationPolicy"

#: Typed SDKs cannot spell these keys, so they travel with underscores and reach the API server with dashes.
_DASHED: Final = {
    name.replace("-", "_"): name
    for name in (
        "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    )
}
_UNDERSCORED: Final = {dashed: name for name, dashed in _DASHED.items()}


def from_properties(properties: Mapping[str, object]) -> Manifest:
    """A manifest for the API server: secret marks removed, schema extension keys dashed."""
    return {key: _renamed(plain(value), _DASHED) for key, value in properties.items()}


def to_properties(manifest: Manifest) -> Properties:
    """Properties for the engine: schema extension keys underscored."""
    return {key: _renamed(value, _UNDERSCORED) for key, value in manifest.items()}


def _renamed(value: object, names: Mapping[str, str]) -> object:
    if isinstance(value, dict):
        return {names.get(key, key): _renamed(item, names) for key, item in value.items()}
    return [_renamed(item, names) for item in value] if isinstance(value, list) else value


def pluck(value: object, *path: str) -> object:
    """The value under `path`, or None where something on the way is missing or no map."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def text(value: object, *path: str) -> str:
    """The text under `path`; empty where there is none."""
    found = pluck(value, *path)
    return found if isinstance(found, str) else ""


def number(value: object, *path: str, default: int = 0) -> int:
    found = pluck(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else default


def items(value: object, *path: str) -> list[object]:
    """The list under `path`; empty where there is none."""
    found = pluck(value, *path)
    return found if isinstance(found, list) else []


def name_of(manifest: Manifest) -> str:
    return text(manifest, "metadata", "name")


def namespace_of(manifest: Manifest) -> str:
    return text(manifest, "metadata", "namespace")


def api_version(manifest: Manifest) -> str:
    return text(manifest, "apiVersion")


def kind_of(manifest: Manifest) -> str:
    return text(manifest, "kind")


def id_of(manifest: Manifest) -> str:
    """`namespace/name`, or the name alone for a cluster-wide object."""
    return "/".join(filter(None, (namespace_of(manifest), name_of(manifest))))


def annotation(manifest: Manifest, key: str) -> str:
    return text(manifest, "metadata", "annotations", key)


def is_annotated(manifest: Manifest, key: str) -> bool:
    """Whether the annotation says "true"."""
    return annotation(manifest, key) == "true"


def with_metadata(manifest: Manifest, **fields: object) -> Manifest:
    """A copy with `metadata` fields set; None removes a field. Metadata that is not a map stays as it is."""
    metadata = manifest.get("metadata", {})
    if not isinstance(metadata, dict):
        return manifest
    merged = {key: value for key, value in {**metadata, **fields}.items() if value is not None}
    return {**manifest, "metadata": merged}


def with_annotation(manifest: Manifest, key: str, value: str) -> Manifest:
    annotations = pluck(manifest, "metadata", "annotations")
    return with_metadata(manifest, annotations={**(annotations if isinstance(annotations, dict) else {}), key: value})


def is_custom_resource_definition(manifest: Manifest) -> bool:
    return kind_of(manifest) == "CustomResourceDefinition" and api_version(manifest).startswith("apiextensions.k8s.io/")


def is_secret(manifest: Manifest) -> bool:
    return kind_of(manifest) == "Secret" and api_version(manifest) == "v1"


def is_config_map(manifest: Manifest) -> bool:
    return kind_of(manifest) == "ConfigMap" and api_version(manifest) == "v1"


def is_owned_by(manifest: Manifest, owner: Manifest) -> bool:
    wanted = (kind_of(owner), text(owner, "metadata", "uid"))
    return any(
        (text(reference, "kind"), text(reference, "uid")) == wanted
        for reference in items(manifest, "metadata", "ownerReferences")
    )


def pruned(source: Manifest, shape: Manifest) -> Manifest:
    """What of `source` lies on paths that `shape` has too."""
    return {key: _pruned(value, shape[key]) for key, value in source.items() if key in shape}


def _pruned(source: object, shape: object) -> object:
    if isinstance(source, dict) and isinstance(shape, dict):
        return pruned(source, shape)
    if isinstance(source, list) and isinstance(shape, list):
        if not source or not shape:
            return []
        if type(source[0]) is not type(shape[0]):
            return copy.deepcopy(source)
        return [_pruned(left, right) for left, right in zip(source, shape, strict=False)]
    return copy.deepcopy(source)
