"""What `local.Command` takes: which properties, of which types; the mistakes in what was given. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from lab.engine.kubernetes.values import Properties, Unknown, plain

_TEXTS: Final = ("create", "update", "delete", "dir", "stdin", "logging")
_LISTS_OF_TEXT: Final = ("interpreter",)
_ASSETS: Final = ("assetPaths", "archivePaths")
_KNOWN: Final = {*_TEXTS, *_LISTS_OF_TEXT, *_ASSETS, "environment", "triggers", "addPreviousOutputInEnv"}


@dataclass(frozen=True)
class Mistake:
    """One property that cannot be taken, and why."""

    property: str
    reason: str


def mistakes_in(inputs: Properties) -> list[Mistake]:
    """All mistakes, in the order of the properties."""
    return [mistake for name, value in inputs.items() for mistake in _mistakes(name, plain(value))]


def _mistakes(name: str, value: object) -> Iterator[Mistake]:
    if name not in _KNOWN:
        yield Mistake(name, f"there is no property {name!r} in local.Command; it has {', '.join(sorted(_KNOWN))}")
    elif name in _ASSETS:
        yield Mistake(name, "the lab's stand-in for the command provider collects no assets")
    elif value is None or isinstance(value, Unknown):
        return
    elif name in _TEXTS:
        yield from _text(name, value)
    elif name in _LISTS_OF_TEXT:
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            yield from _text(f"{name}[{index}]", plain(item))
    elif name == "environment":
        yield from _environment(name, value)
    elif name == "addPreviousOutputInEnv" and not isinstance(value, bool):
        yield Mistake(name, f"has to be a boolean, is {value!r}")


def _environment(name: str, value: object) -> Iterator[Mistake]:
    if not isinstance(value, Mapping):
        yield Mistake(name, f"has to be a map of strings, is a {type(value).__name__}")
        return
    for key, item in value.items():
        yield from _text(f"environment[{key}] value", plain(item))


def _text(name: str, value: object) -> Iterator[Mistake]:
    if not isinstance(value, str | Unknown | None):
        yield Mistake(name, f"has to be a string, is a {type(value).__name__}")
