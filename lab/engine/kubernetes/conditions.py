"""The annotation `pulumi.com/waitFor`: conditions on an object of any kind. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import orjson

from lab.engine.kubernetes.manifests import Manifest, number, text
from lab.engine.kubernetes.readiness import READY, Readiness, condition

_STEP: Final = re.compile(
    r"""\.?(?:
        (?P<name>[\w-]+|\*)
        | \[\s*(?P<index>-?\d+|\*)\s*\]
        | \[\s*(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)")\s*\]
        | \[\?\(\s*@\.(?P<key>[\w.-]+)\s*==\s*(?:'(?P<want1>[^']*)'|"(?P<want2>[^"]*)")\s*\)\]
    )""",
    re.VERBOSE,
)


class WaitForError(Exception):
    """The annotation cannot be understood."""


@dataclass(frozen=True)
class Wish:
    """One condition: a status condition by type, or a JSONPath; an empty `value` wants the path to exist."""

    source: str
    path: tuple[re.Match[str], ...]
    value: str
    condition: str = ""

    def met_by(self, live: Manifest) -> bool:
        generation = number(live, "metadata", "generation")
        if number(live, "status", "observedGeneration", default=generation) < generation:
            return False
        if self.condition:
            return text(condition(live, self.condition), "status").lower() == self.value.lower()
        found = _selected([live], self.path)
        return bool(found) and (not self.value or _shown(found[0]) == self.value)


def parse_wishes(annotation: str) -> tuple[Wish, ...]:
    """The conditions of an annotation: one, or a JSON list of several that all have to be met.

    Raises:
        WaitForError: one is neither `jsonpath={.path}=value` nor `condition=Type[=Status]`.
    """
    try:
        loaded = orjson.loads(annotation)
    except orjson.JSONDecodeError:
        loaded = [annotation]
    if not isinstance(loaded, list) or not loaded or not all(isinstance(entry, str) for entry in loaded):
        raise WaitForError(f"pulumi.com/waitFor is {annotation!r}; wanted a text or a JSON list of texts")
    return tuple(_parse_wish(entry) for entry in loaded)


def judge(live: Manifest, wishes: tuple[Wish, ...]) -> Readiness:
    unmet = tuple(f"{wish.source} is not met" for wish in wishes if not wish.met_by(live))
    return Readiness(False, unmet) if unmet else READY


def _parse_wish(source: str) -> Wish:
    kind, _, rest = source.partition("=")
    if kind == "condition" and rest:
        name, _, status = rest.partition("=")
        return Wish(source, (), status or "True", name)
    match = re.fullmatch(r"\{\s*\$?(.*?)\s*\}(?:=(.+))?", rest)
    if kind != "jsonpath" or match is None:
        raise WaitForError(f"{source!r} is no condition; wanted jsonpath={{.path}}=value or condition=Type")
    return Wish(source, _steps(match[1], source), match[2] or "")


def _steps(path: str, source: str) -> tuple[re.Match[str], ...]:
    steps: list[re.Match[str]] = []
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None or step.end() == at:
            raise WaitForError(f"{source!r}: {path[at:]!r} is not understood")
        steps.append(step)
        at = step.end()
    return tuple(steps)


def _selected(values: list[object], steps: tuple[re.Match[str], ...]) -> list[object]:
    for step in steps:
        values = [found for value in values for found in _children(value, step)]
    return values


def _children(value: object, step: re.Match[str]) -> list[object]:
    key = next((step[name] for name in ("name", "single", "double") if step[name] is not None), None)
    if "*" in (key, step["index"]):
        return _all_children(value)
    if key is not None:
        return [value[key]] if isinstance(value, dict) and key in value else []
    if not isinstance(value, list):
        return []
    if step["index"] is not None:
        index = int(step["index"])
        return [value[index]] if -len(value) <= index < len(value) else []
    wanted = step["want1"] if step["want1"] is not None else step["want2"]
    return [entry for entry in value if text(entry, *step["key"].split(".")) == wanted]


def _all_children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
