"""One recorded runtime: its raw metadata, its storage keys, and an encoder for its types, driven by the type registry.

`data/runtime-461` was made from test data in the source distribution of bittensor 11.3.0 (Apache-2.0): a development
build with 250 ms slots, whose one slot-length constant is rewritten on loading.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Final

from lab.chain.scale import HASHERS, compact, twox

DATA: Final = Path(__file__).parent / "data"
SLOT_MILLISECONDS: Final = 12_000
_WIDTH_BYTES: Final = {"8": 1, "16": 2, "32": 4, "64": 8, "128": 16, "256": 32}


class _Missing:
    """Stands for a value that was not given; it encodes as zero, empty or None."""


_MISSING: Final = _Missing()


class Runtime:
    """Metadata of one spec version and what follows from it.

    Args:
        name: file stem in the data folder.
        folder: where the three files lie.
        slot_milliseconds: block time written into the metadata; 0 keeps the recorded one.
    """

    def __init__(
        self, name: str = "runtime-461", folder: Path = DATA, slot_milliseconds: int = SLOT_MILLISECONDS
    ) -> None:
        document = json.loads(gzip.decompress((folder / f"{name}.json.gz").read_bytes()))
        self.v15 = gzip.decompress((folder / f"{name}.v15.bin.gz").read_bytes())
        self.v14 = gzip.decompress((folder / f"{name}.v14.bin.gz").read_bytes())
        self.storage: dict[str, dict[str, Any]] = document["storage"]
        self.apis: dict[str, dict[str, Any]] = document["apis"]
        self.spec_version = int(document["spec_version"])
        self.transaction_version = int(document["transaction_version"])
        self.spec_name = str(document["spec_name"])
        self.impl_name = str(document["impl_name"])
        self._types: dict[int, dict[str, Any]] = {int(key): value for key, value in document["types"].items()}
        self._prefixes: dict[str, bytes] = {}
        if slot_milliseconds:
            self.v15 = _with_slot(self.v15, slot_milliseconds)
            self.v14 = _with_slot(self.v14, slot_milliseconds)

    def has(self, item: str) -> bool:
        """Whether this runtime has a storage item, named `Pallet.Item`."""
        return item in self.storage

    def prefix(self, item: str) -> bytes:
        """Storage prefix of an item."""
        if item not in self._prefixes:
            pallet = str(self.storage[item]["prefix"])
            self._prefixes[item] = twox(pallet.encode(), 2) + twox(item.split(".")[1].encode(), 2)
        return self._prefixes[item]

    def key(self, item: str, *parameters: object) -> bytes:
        """Storage key of one value."""
        entry = self.storage[item]
        out = self.prefix(item)
        for hasher, type_id, value in zip(entry["hashers"], entry["keys"], parameters, strict=False):
            out += HASHERS[hasher](self._encode(type_id, value))
        return out

    def value(self, item: str, value: object) -> bytes:
        """A storage value, encoded."""
        return self._encode(self.storage[item]["value"], value)

    def api_result(self, name: str, value: object) -> bytes:
        """The result of a runtime call, encoded."""
        return self._encode(self.apis[name]["output"], value)

    def _encode(self, type_id: int, value: object = _MISSING) -> bytes:
        ((kind, body),) = self._types[type_id]["def"].items()
        match kind:
            case "primitive":
                return _primitive(body, value)
            case "compact":
                return compact(0 if value is _MISSING else _integer(value))
            case "composite":
                return self._fields(body.get("fields", []), value)
            case "sequence":
                return self._sequence(body["type"], value)
            case "array":
                return self._array(body, value)
            case "tuple":
                values = [_MISSING] * len(body) if value is _MISSING else _items(value)
                return b"".join(self._encode(inner, one) for inner, one in zip(body, values, strict=True))
            case "variant":
                return self._variant(type_id, body.get("variants", []), value)
        raise ValueError(f"type {type_id} of the metadata is a {kind}, which this encoder does not know")

    def _fields(self, fields: list[dict[str, Any]], value: object) -> bytes:
        named = isinstance(value, dict)
        if len(fields) == 1 and not (isinstance(value, dict) and fields[0].get("name") in value):
            return self._encode(fields[0]["type"], value)
        parts = []
        for index, field in enumerate(fields):
            one: object = _MISSING
            if isinstance(value, dict):
                one = value.get(field.get("name"), _MISSING)
            elif value is not _MISSING and not named:
                one = _items(value)[index]
            parts.append(self._encode(field["type"], one))
        return b"".join(parts)

    def _sequence(self, inner: int, value: object) -> bytes:
        if value is _MISSING or value is None:
            return b"\0"
        if isinstance(value, str):
            value = value.encode()
        if isinstance(value, bytes) and self._types[inner]["def"].get("primitive") == "u8":
            return compact(len(value)) + value
        items = _items(value)
        return compact(len(items)) + b"".join(self._encode(inner, one) for one in items)

    def _array(self, body: dict[str, Any], value: object) -> bytes:
        if isinstance(value, bytes) and len(value) == body["len"]:
            return value
        if value is _MISSING:
            return self._encode(body["type"]) * int(body["len"])
        return b"".join(self._encode(body["type"], one) for one in _items(value))

    def _variant(self, type_id: int, variants: list[dict[str, Any]], value: object) -> bytes:
        if self._types[type_id]["path"][-1:] == ["Option"]:
            if value is _MISSING or value is None:
                return b"\0"
            some = next(variant for variant in variants if variant["name"] == "Some")
            return b"\1" + self._encode(some["fields"][0]["type"], value)
        payload: object = _MISSING
        if isinstance(value, dict):
            ((name, payload),) = value.items()
            chosen = next(variant for variant in variants if variant["name"] == name)
        elif isinstance(value, str):
            chosen = next(variant for variant in variants if variant["name"] == value)
        else:
            chosen = min(variants, key=lambda variant: int(variant.get("index", 0)))
        fields = chosen.get("fields", [])
        if len(fields) == 1 and isinstance(payload, tuple | list) and len(payload) == 1:
            payload = payload[0]
        return bytes([chosen.get("index", 0)]) + self._fields(fields, payload)


def _primitive(name: str, value: object) -> bytes:
    if name == "bool":
        return b"\1" if value is not _MISSING and value else b"\0"
    if name == "str":
        raw = b"" if value is _MISSING else str(value).encode()
        return compact(len(raw)) + raw
    number = 0 if value is _MISSING else _integer(value)
    return number.to_bytes(_WIDTH_BYTES[name[1:]], "little", signed=name[0] == "i")


def _integer(value: object) -> int:
    if isinstance(value, int):
        return int(value)
    raise TypeError(f"an integer was wanted, got {type(value).__name__}")


def _items(value: object) -> list[object]:
    if isinstance(value, list | tuple | bytes):
        return list(value)
    raise TypeError(f"a sequence was wanted, got {type(value).__name__}")


def _with_slot(metadata: bytes, slot_milliseconds: int) -> bytes:
    """Set Aura.SlotDuration, an 8-byte constant, without moving any byte."""
    name, at = b"\x30SlotDuration", -1
    while (at := metadata.index(name, at + 1)) >= 0:
        end = at + len(name)
        end += (1, 2, 4)[metadata[end] & 3]  # the constant's type id, compact
        value = int.from_bytes(metadata[end + 1 : end + 9], "little")
        if metadata[end] == 8 << 2 and 100 <= value <= 60_000:
            return metadata[: end + 1] + slot_milliseconds.to_bytes(8, "little") + metadata[end + 9 :]
    raise ValueError("the metadata has no Aura.SlotDuration constant")
