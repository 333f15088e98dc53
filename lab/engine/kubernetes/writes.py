"""The ways in which an object is written: a plain create, a server-side apply, a takeover of fields.

Must not know of the engine.
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.engine.kubernetes.api import APPLY, JSON_PATCH, Api
from lab.engine.kubernetes.changes import parse_path
from lab.engine.kubernetes.managers import CREATOR, owns, taken_over
from lab.engine.kubernetes.manifests import (
    Manifest,
    api_version,
    kind_of,
    name_of,
    namespace_of,
    pluck,
    text,
    with_metadata,
)


async def create(api: Api, manifest: Manifest, *, is_preview: bool) -> Manifest:
    """A POST in the creator's name, which fails over an existing object."""
    where = await api.endpoint(manifest)
    return await api.call("POST", where.collection, manifest, query=_query(CREATOR, is_preview=is_preview))


async def apply(api: Api, manifest: Manifest, name: str, manager: str, *, force: bool, is_preview: bool) -> Manifest:
    """A server-side apply, which creates a missing object; `force` takes fields from other managers."""
    where = await api.endpoint(manifest)
    query = {**_query(manager, is_preview=is_preview), "force": str(force).lower()}
    return await api.call("PATCH", where.object(name), manifest, content_type=APPLY, query=query)


async def replace(api: Api, manifest: Manifest, live: Manifest, manager: str, *, is_preview: bool) -> Manifest:
    """A PUT over the object that was just read. For definitions: what is not wanted any more is gone at once."""
    where = await api.endpoint(manifest)
    current = with_metadata(manifest, resourceVersion=text(live, "metadata", "resourceVersion"))
    return await api.call("PUT", where.object(name_of(live)), current, query=_query(manager, is_preview=is_preview))


async def take_over(api: Api, live: Manifest, manager: str) -> Manifest:
    """Give the fields of kubectl and of the create to `manager`, so that applying meets no conflict with them."""
    fields = taken_over(live, manager)
    if fields is None:
        return live
    where = await api.endpoint(live)
    version = text(live, "metadata", "resourceVersion")
    patch = [
        {"op": "replace", "path": "/metadata/managedFields", "value": fields},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},  # refused if it changed meanwhile
    ]
    return await api.call("PATCH", where.object(name_of(live)), patch, content_type=JSON_PATCH)


async def relinquish(api: Api, manifest: Manifest, manager: str) -> None:
    """Give up all fields of `manager`; those that nobody else owns fall back to their defaults."""
    identity: Manifest = {
        "apiVersion": api_version(manifest),
        "kind": kind_of(manifest),
        "metadata": {key: value for key, value in _address(manifest).items() if value},
    }
    await apply(api, identity, name_of(manifest), manager, force=False, is_preview=False)


def _address(manifest: Manifest) -> dict[str, str]:
    return {"name": name_of(manifest), "namespace": namespace_of(manifest)}


def _query(manager: str, *, is_preview: bool) -> dict[str, str]:
    return {"fieldManager": manager, **({"dryRun": "All"} if is_preview else {})}


def without_ignored(inputs: Manifest, live: Manifest, ignored: Sequence[str], manager: str) -> Manifest:
    """`inputs` that leave ignored fields alone: fields of others are left out, the rest keeps its live value.

    Paths into lists are sent as they are.
    """
    for source in ignored:
        path = parse_path(source)
        keys = [part for part in path if isinstance(part, str)]
        if len(keys) < len(path):
            continue
        found = pluck(live, *keys)
        if owns(live, keys, manager=manager, others=True) and not owns(live, keys, manager=manager, others=False):
            inputs = _with(inputs, keys, None)
        elif found is not None:
            inputs = _with(inputs, keys, found)
    return inputs


def _with(manifest: Manifest, keys: Sequence[str], value: object) -> Manifest:
    """A copy with the value at `keys`; None removes it."""
    first, *rest = keys
    if not rest:
        kept = {key: item for key, item in manifest.items() if key != first}
        return kept if value is None else {**manifest, first: value}
    inner = manifest.get(first)
    if not isinstance(inner, dict):
        return manifest if value is None else {**manifest, first: _with({}, rest, value)}
    return {**manifest, first: _with(inner, rest, value)}
