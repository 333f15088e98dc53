"""Facts as outputs: free space moves all the time, and a preview that shows every gigabyte hides what matters. Pure."""

from __future__ import annotations

from typing import Final

from pydantic import JsonValue

_MOVING: Final = ("rootFreeGib", "dataFreeGib", "swapMib")
_SHARE: Final = 0.1
_LEAST: Final = 5.0


def settled_facts(old: JsonValue, new: dict[str, JsonValue]) -> JsonValue:
    """The new facts, with the old figure where a moving one moved by less than a tenth (and less than 5 GiB)."""
    if not isinstance(old, dict):
        return dict(new)
    return {key: _settled(old.get(key), value) if key in _MOVING else value for key, value in new.items()}


def _settled(old: JsonValue, new: JsonValue) -> JsonValue:
    if isinstance(old, int | float) and isinstance(new, int | float) and abs(new - old) <= max(_LEAST, _SHARE * old):
        return old
    return new
