"""What differs between old and new inputs, as the engine is told: paths, kinds, replacements. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from itertools import zip_longest
from typing import Final

from pulumi.runtime.proto.provider_pb2 import DiffResponse, PropertyDiff

from lab.engine.kubernetes.values import Properties

_REPLACED: Final = "triggers"
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Absent(Enum):
    """What stands where one side has nothing; None is a value."""

    VALUE = "absent"


def diff(old: Properties, new: Properties) -> DiffResponse:
    """The answer to Diff. Only adding or dropping all triggers replaces: the SDK does it for their items."""
    detailed = dict(_changes(old, new, ""))
    replaced = _REPLACED in detailed and not (_REPLACED in old and _REPLACED in new)
    if replaced:
        detailed[_REPLACED] = PropertyDiff.ADD_REPLACE if _REPLACED in new else PropertyDiff.DELETE_REPLACE
    return DiffResponse(
        changes=DiffResponse.DIFF_SOME if detailed else DiffResponse.DIFF_NONE,
        diffs=sorted(changed_keys(old, new)),
        replaces=[_REPLACED] if replaced else [],
        detailedDiff={path: PropertyDiff(kind=kind) for path, kind in detailed.items()},
        hasDetailedDiff=True,
    )


def changed_keys(old: Properties, new: Properties) -> set[str]:
    """The top-level properties that were added, changed or removed."""
    return {key for key in {*old, *new} if key not in old or key not in new or old[key] != new[key]}


def outputs_stay(old: Properties, new: Properties) -> bool:
    """Whether a preview still shows the old outputs: only where nothing that they came from changed or went away."""
    return not any(key in old for key in changed_keys(old, new))


def _changes(old: object, new: object, path: str) -> Iterator[tuple[str, PropertyDiff.Kind.ValueType]]:
    if old is _Absent.VALUE:
        yield path, PropertyDiff.ADD
    elif new is _Absent.VALUE:
        yield path, PropertyDiff.DELETE
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _changes(old.get(key, _Absent.VALUE), new.get(key, _Absent.VALUE), _joined(path, str(key)))
    elif isinstance(old, list) and isinstance(new, list):
        for index, (left, right) in enumerate(zip_longest(old, new, fillvalue=_Absent.VALUE)):
            yield from _changes(left, right, f"{path}[{index}]")
    elif old != new:
        yield path, PropertyDiff.UPDATE


def _joined(path: str, key: str) -> str:
    if not _PLAIN_KEY.fullmatch(key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key
