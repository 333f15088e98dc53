"""Property values between the wire (protobuf Struct) and Python: secrets, unknown values, numbers.

Pure. Knows nothing of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from google.protobuf import struct_pb2

#: A map of properties. Leaves are None, bool, int, float, str, list, dict, `Secret` or `Unknown`.
Properties: TypeAlias = dict[str, object]

_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"
UNKNOWN_TEXT: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWN_SENTINELS: Final = frozenset(
    {
        UNKNOWN_TEXT,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # boolean
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)


@dataclass(frozen=True)
class Secret:
    """A value that state and console must not show in plain."""

    value: object


@dataclass(frozen=True)
class Unknown:
    """A value that a preview does not know yet; `sentinel` tells its type on the wire."""

    sentinel: str = UNKNOWN_TEXT


def decode(struct: struct_pb2.Struct) -> Properties:
    """Properties of a Struct. Whole numbers become int: the API server refuses 1.0 for an integer."""
    return {key: _decode(value) for key, value in struct.fields.items()}


def _decode(value: struct_pb2.Value) -> object:
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            text = value.string_value
            return Unknown(text) if text in _UNKNOWN_SENTINELS else text
        case "bool_value":
            return value.bool_value
        case "struct_value":
            inner = decode(value.struct_value)
            return Secret(inner.get("value")) if inner.get(_SIGNATURE) == _SECRET else inner
        case "list_value":
            return [_decode(item) for item in value.list_value.values]
        case _:
            return None


def encode(properties: Mapping[str, object]) -> struct_pb2.Struct:
    """The inverse of `decode`.

    Raises:
        TypeError: a leaf has no form on the wire.
    """
    return struct_pb2.Struct(fields={key: _encode(value) for key, value in properties.items()})


def _encode(value: object) -> struct_pb2.Value:
    match value:
        case None:
            return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        case bool():
            return struct_pb2.Value(bool_value=value)
        case int() | float():
            return struct_pb2.Value(number_value=value)
        case str():
            return struct_pb2.Value(string_value=value)
        case Unknown():
            return struct_pb2.Value(string_value=value.sentinel)
        case Secret():
            return _encode({_SIGNATURE: _SECRET, "value": value.value})
        case dict():
            return struct_pb2.Value(struct_value=encode(value))
        case list():
            return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[_encode(item) for item in value]))
        case _:
            raise TypeError(f"a property of type {type(value).__name__} has no form on the wire; use JSON types")


def plain(value: object) -> object:
    """A deep copy without secret marks; unknown values stay."""
    match value:
        case Secret():
            return plain(value.value)
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case _:
            return value


def contains_secret(value: object) -> bool:
    return _contains(value, Secret)


def contains_unknown(value: object) -> bool:
    return _contains(value, Unknown)


def _contains(value: object, wanted: type[Secret | Unknown]) -> bool:
    match value:
        case dict():
            return any(_contains(item, wanted) for item in value.values())
        case list():
            return any(_contains(item, wanted) for item in value)
        case Secret():
            return wanted is Secret or _contains(value.value, wanted)
        case _:
            return isinstance(value, wanted)


def with_secrets_of(values: Properties, marked: Mapping[str, object]) -> Properties:
    """`values` with every place secret that is secret in `marked`; a list with one secret item is secret as a whole.

    The data of a Kubernetes Secret is always secret, also where nothing was marked.
    """
    if values.get("kind") == "Secret":
        return {
            key: _secret(value) if key in ("data", "stringData") and value is not None else value
            for key, value in values.items()
        }
    return {key: _marked_like(value, marked[key]) if key in marked else value for key, value in values.items()}


def _marked_like(value: object, mark: object) -> object:
    if isinstance(value, dict) and isinstance(mark, dict):
        return with_secrets_of(value, mark)
    return _secret(value) if contains_secret(mark) else value


def _secret(value: object) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)
