"""The difference between an old and a new manifest, property by property, as the engine shows it. Pure.

A difference is first a JSON merge patch (RFC 7386) and then its paths: a whole added map is one path, items of lists
are compared one by one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from lab.engine.kubernetes.values import Unknown

Path: TypeAlias = tuple[str | int, ...]
Changes: TypeAlias = "dict[Path, PropertyChange]"


class _Missing(Enum):
    """No value at all, unlike null."""

    VALUE = "missing"


_MISSING: Final = _Missing.VALUE


class Change(Enum):
    """What happens to one property."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


@dataclass(frozen=True)
class PropertyChange:
    """One changed property; `replaces` when it cannot be changed in a living object."""

    change: Change
    replaces: bool = False


def merge_patch(old: Mapping[str, object], new: Mapping[str, object]) -> dict[str, object]:
    """The merge patch from `old` to `new`: null for a removed key, unknown values as they are."""
    patch: dict[str, object] = {}
    for key, value in new.items():
        before = old.get(key, _MISSING)
        if isinstance(before, dict) and isinstance(value, dict):
            inner = merge_patch(before, value)
            if inner:
                patch[key] = inner
        elif not _equal(before, value):
            patch[key] = value
    return patch | {key: None for key in old if key not in new}


def _equal(left: object, right: object) -> bool:
    """JSON equality: 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(_equal(a, b) for a, b in zip(left, right, strict=True))
    return left == right


@dataclass(frozen=True)
class Comparison:
    """Turns a merge patch into changed properties.

    Attributes:
        replacing: paths such as `.spec.selector` or `.spec.containers[*].image` whose change needs a new object.
    """

    replacing: Sequence[str]

    def changes(
        self,
        patch: Mapping[str, object],
        state: Mapping[str, object],
        new: Mapping[str, object],
        old: Mapping[str, object],
    ) -> dict[str, PropertyChange]:
        """Changed properties by path.

        Args:
            patch: what changes, a merge patch.
            state: the values as they are now.
            new: the wanted inputs; a property that is not in them can only have been removed.
            old: the inputs before.
        """
        found: dict[Path, PropertyChange] = {}
        self._of_map((), patch, _Sides(state, new, old), found, in_list=False)
        return {path_text(path): change for path, change in found.items()}

    def _of_map(
        self,
        path: Path,
        patch: Mapping[str, object],
        sides: _Sides,
        found: Changes,
        *,
        in_list: bool,
    ) -> None:
        for key, value in patch.items():
            self._of_value((*path, key), value, sides.under(key), found, in_list=in_list)
        if in_list and isinstance(sides.state, Mapping):  # a patch has whole lists: what is gone is not null in it
            for key in sides.state.keys() - patch.keys():
                self._of_value((*path, key), None, sides.under(key), found, in_list=in_list)

    def _of_list(self, path: Path, patch: list[object], sides: _Sides, found: Changes) -> None:
        count = len(sides.state) if isinstance(sides.state, list) else 0
        for index in range(max(len(patch), count)):
            value = patch[index] if index < len(patch) else None
            self._of_value((*path, index), value, sides.under(index), found, in_list=True)

    def _of_value(self, path: Path, value: object, sides: _Sides, found: Changes, *, in_list: bool) -> None:
        if sides.new is _MISSING and (value is not None or sides.old is _MISSING):
            return
        if isinstance(value, dict) and isinstance(sides.state, dict):
            self._of_map(path, value, sides, found, in_list=in_list)
            return
        if isinstance(value, list) and isinstance(sides.state, list):
            self._of_list(path, value, sides, found)
            return
        if value is not None and _equal(value, sides.state):
            return
        replaces = any(reaches(path, value, pattern) for pattern in self.replacing)
        found[path] = PropertyChange(sides.change_to(value), replaces)


@dataclass(frozen=True)
class _Sides:
    """The values of one property: in the state, the new and the old inputs."""

    state: object
    new: object
    old: object

    def under(self, key: str | int) -> _Sides:
        return _Sides(_under(self.state, key), _under(self.new, key), _under(self.old, key))

    def change_to(self, value: object) -> Change:
        """What setting the property to a patch's value does; null takes it away, where it is not only unknown yet."""
        if value is None and not isinstance(self.new, Unknown):
            return Change.DELETE
        return Change.ADD if self.state is _MISSING else Change.UPDATE


def _under(value: object, key: str | int) -> object:
    if isinstance(key, str):
        return value.get(key, _MISSING) if isinstance(value, Mapping) else _MISSING
    if isinstance(value, list) and key < len(value):
        return value[key]
    return _MISSING


def reaches(path: Path, value: object, pattern: str) -> bool:
    """Whether setting `path` to `value` touches `pattern`: the path lies in it, or the value contains it."""
    wanted = [part for name in pattern.strip(".").split(".") for part in _parts(name)]
    for have, want in zip(path, wanted, strict=False):
        if want == "*":
            if not isinstance(have, int):
                return False
        elif have != want:
            return False
    return len(path) >= len(wanted) or _holds(value, wanted[len(path) :])


def _parts(name: str) -> list[str]:
    return [name.removesuffix("[*]"), "*"] if name.endswith("[*]") else [name]


def _holds(value: object, wanted: Sequence[str]) -> bool:
    if not wanted:
        return True
    if wanted[0] == "*":
        return isinstance(value, list) and any(_holds(item, wanted[1:]) for item in value)
    return isinstance(value, Mapping) and wanted[0] in value and _holds(value[wanted[0]], wanted[1:])


def path_text(path: Path) -> str:
    """`spec.containers[0].image`; keys with dots, quotes or brackets as `["a.b"]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif any(sign in part for sign in '."[]'):
            escaped = part.replace('"', '\\"')
            text += f'["{escaped}"]'
        else:
            text += f".{part}" if text else part
    return text


_STEP: Final = re.compile(r"""\.?([^.\[\]"]+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|\[(\*)\]""")


def parse_path(text: str) -> Path:
    """The inverse of `path_text`; `[*]` becomes the step "*".

    Raises:
        ValueError: `text` is no property path.
    """
    path: list[str | int] = []
    at = 0
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            raise ValueError(f"{text!r} is no property path; wanted for example spec.replicas")
        name, index, quoted, star = step.groups()
        path.append(int(index) if index else (name or star or quoted.replace('\\"', '"')))
        at = step.end()
    return tuple(path)


def contains(outer: Path, inner: Path) -> bool:
    """Whether `inner` is `outer` or lies in it."""
    return len(inner) >= len(outer) and all(
        want in ("*", have) for want, have in zip(outer, inner[: len(outer)], strict=True)
    )
