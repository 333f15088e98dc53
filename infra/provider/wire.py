"""The wire form of properties: secrets, unknowns, and structured failures. Pure.

Secret markers are kept as they come: echoing them back is what keeps a value secret in the state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from google.protobuf import json_format, struct_pb2
from pulumi.runtime.proto import provider_pb2, status_pb2
from pydantic import JsonValue

UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 the marker's public name, no secret

Properties: TypeAlias = dict[str, JsonValue]


def decode(struct: struct_pb2.Struct) -> Properties:
    """Properties as they came, markers included."""
    decoded: Properties = json_format.MessageToDict(struct)
    return decoded


def encode(properties: Mapping[str, JsonValue]) -> struct_pb2.Struct:
    """Properties as the engine reads them. Integers become floats; sequences become lists."""
    struct = struct_pb2.Struct()
    struct.update(dict(properties))
    return struct


def secret(value: JsonValue) -> JsonValue:
    """The value, marked secret."""
    return {SIGNATURE: SECRET, "value": value}


def is_secret(value: JsonValue) -> bool:
    return isinstance(value, dict) and value.get(SIGNATURE) == SECRET


def plain(value: JsonValue) -> JsonValue:
    """The value without secret markers, for use inside the provider only."""
    if isinstance(value, dict):
        if is_secret(value):
            return plain(value["value"])
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def plain_properties(properties: Mapping[str, JsonValue]) -> Properties:
    """As `plain`, for whole properties."""
    return {key: plain(value) for key, value in properties.items()}


def has_unknown(value: JsonValue) -> bool:
    """Whether anything in the value is known only after other resources exist."""
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return value == UNKNOWN


def init_failed_status(
    id: str,  # noqa: A002 the wire's name
    outputs: Mapping[str, JsonValue],
    inputs: Mapping[str, JsonValue],
    reasons: Sequence[str],
    *,
    refresh_before_update: bool,
) -> bytes:
    """A status that records the resource together with the reasons why it is not whole."""
    failure = provider_pb2.ErrorResourceInitFailed(
        id=id,
        properties=encode(outputs),
        inputs=encode(inputs),
        reasons=list(reasons),
        refresh_before_update=refresh_before_update,
    )
    status = status_pb2.Status(code=2, message="; ".join(reasons))
    status.details.add().Pack(failure)
    return status.SerializeToString()
