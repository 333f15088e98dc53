"""The text kept beside each cached object: version, observation time, index terms, and the fields readers ask for.

Pure. Five lines: uid, resource version, time of observation in milliseconds, index terms between tabs, details as JSON.
The first four are read by the scripts inside Redis, the last only by Python.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from app.observe.keys import INDEXED_LABELS, label_term, name_term, node_term
from app.observe.readings import ObservedObject
from app.protocol.channels import ResourceType
from app.protocol.objects import KubernetesObject


class _Details(msgspec.Struct, array_like=True):
    namespace: str | None
    name: str
    node_name: str | None
    phase: str | None
    is_terminating: bool
    labels: dict[str, str]


_decoder: Final = msgspec.json.Decoder(_Details)
_encoder: Final = msgspec.json.Encoder()


@dataclass(frozen=True)
class KnownObject:
    """What a plan needs to know of a cached object."""

    uid: str
    version: str
    observed_ms: int


def index_terms(item: KubernetesObject) -> tuple[str, ...]:
    """The terms under which an object can be found."""
    labels = tuple(label_term(label, item.labels[label]) for label in INDEXED_LABELS if label in item.labels)
    node = (node_term(item.node_name),) if item.kind is ResourceType.POD and item.node_name else ()
    return (name_term(item.kind, item.field), *labels, *node)


def encode_details(item: KubernetesObject) -> bytes:
    """The last line."""
    return _encoder.encode(
        _Details(item.namespace, item.name, item.node_name, item.phase, item.is_terminating, dict(item.labels))
    )


def encode_entry(uid: str, version: str, observed_ms: int, terms: str, details: bytes) -> bytes:
    """The five lines, as the script inside Redis writes them too."""
    return f"{uid}\n{version}\n{observed_ms}\n{terms}\n".encode() + details


def decode_known(text: bytes) -> KnownObject:
    """The lines that a plan compares."""
    uid, version, observed, _ = text.split(b"\n", 3)
    return KnownObject(uid.decode(), version.decode(), int(observed))


def decode_observed(text: bytes, cluster: str, kind: ResourceType, held_uid: str | None) -> ObservedObject:
    """The object as readers get it."""
    uid, version, _, _, details_text = text.split(b"\n", 4)
    details = _decoder.decode(details_text)
    return ObservedObject(
        cluster=cluster,
        kind=kind,
        namespace=details.namespace,
        name=details.name,
        uid=uid.decode(),
        resource_version=version.decode(),
        labels=details.labels,
        node_name=details.node_name,
        phase=details.phase,
        is_terminating=details.is_terminating,
        is_unconfirmed=held_uid is not None and held_uid == uid.decode(),
    )
