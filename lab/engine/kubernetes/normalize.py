"""Inputs in the form in which the API server gives them back, so that equal wishes compare equal. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from lab.engine.kubernetes.kinds import has_go_type
from lab.engine.kubernetes.manifests import (
    Manifest,
    api_version,
    is_custom_resource_definition,
    is_secret,
    pluck,
    with_metadata,
)
from lab.engine.kubernetes.schema import GroupSchemas
from lab.engine.kubernetes.values import contains_unknown

#: Set by the server; no user decides them.
_READ_ONLY: Final = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
)


def normalized(manifest: Manifest, schemas: GroupSchemas | None) -> Manifest:
    """Inputs as they will be compared and sent. With unknown values in it nothing but read-only fields is touched.

    `schemas` are those of the manifest's group version; None where the cluster cannot be asked.
    """
    if not contains_unknown(manifest):
        manifest = _typed(manifest, schemas)
    if not isinstance(manifest.get("metadata"), dict):
        return manifest
    return with_metadata(manifest, **dict.fromkeys(_READ_ONLY))


def _typed(manifest: Manifest, schemas: GroupSchemas | None) -> Manifest:
    if is_custom_resource_definition(manifest):
        return _typed_definition(manifest)
    if is_secret(manifest):
        return _typed_secret(manifest)
    if not has_go_type(api_version(manifest)):
        return manifest
    if schemas is not None:
        return schemas.typed(manifest)
    return _without_empty_metadata(manifest)


def _typed_definition(manifest: Manifest) -> Manifest:
    rest = {key: value for key, value in manifest.items() if key != "status"}
    spec = rest.get("spec")
    if isinstance(spec, dict) and spec.get("preserveUnknownFields") is False:
        rest["spec"] = {key: value for key, value in spec.items() if key != "preserveUnknownFields"}
    return rest


def _typed_secret(manifest: Manifest) -> Manifest:
    """`stringData` goes into `data`, as the server does it; base64 is written without white space."""
    data, plain_texts = manifest.get("data"), manifest.get("stringData")
    coded = {key: _recoded(value) for key, value in data.items()} if isinstance(data, dict) else {}
    if not isinstance(plain_texts, dict) or not plain_texts:
        return {**manifest, "data": coded} if isinstance(data, dict) else manifest
    if not all(isinstance(value, str) for value in plain_texts.values()):
        return manifest
    added = {key: base64.b64encode(str(value).encode()).decode() for key, value in plain_texts.items()}
    rest = {key: value for key, value in manifest.items() if key != "stringData"}
    return {**rest, "data": {**coded, **added}}


def _recoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64encode(base64.b64decode("".join(value.split()), validate=True)).decode()
    except binascii.Error:
        return value  # the server says what is wrong with it


def _without_empty_metadata(manifest: Manifest) -> Manifest:
    empty = {key: None for key in ("annotations", "labels") if pluck(manifest, "metadata", key) == {}}
    return with_metadata(manifest, **empty) if empty else manifest
