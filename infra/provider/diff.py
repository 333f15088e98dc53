"""What changed between two sets of inputs, with full paths. Pure: a diff never looks at a machine (D2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import JsonValue

from infra.provider.wire import is_secret


class Change(StrEnum):
    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


@dataclass(frozen=True)
class Difference:
    """One changed property. `from_state` marks what was seen on the resource rather than declared."""

    path: str
    change: Change
    replaces: bool = False
    from_state: bool = False


def differences(old: Mapping[str, JsonValue], new: Mapping[str, JsonValue], path: str = "") -> Iterator[Difference]:
    """Differences in the order of their keys, as deep as both sides have the same shape."""
    for key in sorted(old.keys() | new.keys()):
        where = f"{path}.{key}" if path else key
        if key not in old:
            yield Difference(where, Change.ADD)
        elif key not in new:
            yield Difference(where, Change.DELETE)
        else:
            yield from _of_values(old[key], new[key], where)


def _of_values(old: JsonValue, new: JsonValue, path: str) -> Iterator[Difference]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict) and not is_secret(old) and not is_secret(new):
        yield from differences(old, new, path)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _of_lists(old, new, path)
    else:
        yield Difference(path, Change.UPDATE)


def _of_lists(old: list[JsonValue], new: list[JsonValue], path: str) -> Iterator[Difference]:
    for index in range(max(len(old), len(new))):
        where = f"{path}[{index}]"
        if index >= len(old):
            yield Difference(where, Change.ADD)
        elif index >= len(new):
            yield Difference(where, Change.DELETE)
        else:
            yield from _of_values(old[index], new[index], where)
