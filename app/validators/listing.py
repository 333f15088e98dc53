"""Reader of a validator's streamed lists (spec: protocol 8.1).

A list counts only if it brought an object or the explicit end marker; anything else means: keep what is known.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import orjson
from pydantic import ValidationError

from app.protocol.wire import WireModel
from app.validators.errors import ListingAbortedError

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
_OBJECT: Final = b"data: {"
_EMPTY: Final = b"data: NO_ITEMS"

Item = TypeVar("Item", bound=WireModel)


@dataclass(frozen=True)
class Listing(Generic[Item]):
    """A whole list by id. Objects that exist but could not be read are named, so that nobody takes them for gone."""

    items: Mapping[str, Item]
    unreadable: frozenset[str] = frozenset()

    def knows(self, item_id: str) -> bool:
        """Whether the validator has this object, readable or not."""
        return item_id in self.items or item_id in self.unreadable


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Split a byte stream into lines; a last line without its newline was cut off and is not given out.

    Raises:
        ListingAbortedError: a line is longer than 64 MiB.
    """
    pending = bytearray()
    async for chunk in chunks:
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            pending += chunk[start:end]
            yield bytes(pending)
            pending.clear()
            start = end + 1
        pending += chunk[start:]
        if len(pending) > MAX_LINE_BYTES:
            raise ListingAbortedError(f"a line of a list is longer than {MAX_LINE_BYTES} bytes")
    if pending.strip():
        raise ListingAbortedError(f"the list was cut in the middle of a line after {len(pending)} bytes")


async def read_listing(lines: AsyncIterator[bytes], model: type[Item], key: str) -> Listing[Item]:
    """Read a list whose objects are identified by the field `key`.

    Raises:
        ListingAbortedError: it brought neither an object nor the end marker, or an object without an id.
    """
    items: dict[str, Item] = {}
    unreadable: set[str] = set()
    explicit = False
    async for line in lines:
        if line.startswith(_EMPTY):
            explicit = True
        elif line.startswith(_OBJECT):
            raw = line[len(b"data: ") :]
            try:
                item = model.model_validate_json(raw)
                items[str(getattr(item, key))] = item
            except ValidationError:
                unreadable.add(_id_of(raw, key))
    if not items and not unreadable and not explicit:
        raise ListingAbortedError("the list was empty without the end marker")
    return Listing(items, frozenset(unreadable))


def _id_of(raw: bytes, key: str) -> str:
    try:
        found = orjson.loads(raw).get(key)
    except orjson.JSONDecodeError as error:
        raise ListingAbortedError(f"an object of the list is not JSON: {error}") from error
    if not isinstance(found, str) or not found:
        raise ListingAbortedError(f"an object of the list has no {key}")
    return found
