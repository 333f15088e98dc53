"""Mistakes in settings, each with the command that fixes it. All of them are told at once."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

#: Steps that pydantic adds to a location for the members of a union; they are no part of a config path.
_UNION_TAGS: Final = frozenset({"bare", "tee"})
_WANTED: Final = {
    "missing": "it is missing",
    "extra_forbidden": "there is no such key",
    "union_tag_invalid": "kind is neither bare nor tee",
}


@dataclass(frozen=True)
class Mistake:
    """One mistake: where, what is wrong, and the command that repairs it."""

    path: str
    wrong: str
    command: str

    def __str__(self) -> str:
        return f"headframe:{self.path}: {self.wrong}\n      {self.command}"


class SettingsError(Exception):
    """The settings cannot be used; nothing was declared. `mistakes` holds every one that was found."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        many = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        lines = [f"{many} in the stack's settings; nothing was changed."]
        lines += [f"  {number}. {mistake}" for number, mistake in enumerate(mistakes, start=1)]
        super().__init__("\n".join(lines))


def of_validation(error: ValidationError, root: type[BaseModel]) -> Iterable[Mistake]:
    """One mistake for each entry of pydantic's report."""
    schema = root.model_json_schema()
    for detail in error.errors():
        steps = [step for step in detail["loc"] if step not in _UNION_TAGS]
        places = _required_leaves(schema, steps) if detail["type"] == "missing" else [steps]
        for place in places:
            path = config_path(place)
            yield Mistake(path, _wrong(detail), _command(detail, path, example_at(schema, place)))


def config_path(steps: Sequence[int | str]) -> str:
    """`gpu_nodes[0].ssh.host_key`, as `pulumi config set --path` takes it."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def set_command(path: str, example: object) -> str:
    """The command that sets one value."""
    value = json.dumps(example) if isinstance(example, dict | list | bool) else str(example)
    return f"pulumi config set --path {shlex.quote(path)} {shlex.quote(value)}"


def remove_command(path: str) -> str:
    """The command that takes one value out."""
    return f"pulumi config rm --path {shlex.quote(path)}"


def _wrong(detail: ErrorDetails) -> str:
    text = _WANTED.get(detail["type"])
    if text is not None:
        return text
    message = detail["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _command(detail: ErrorDetails, path: str, example: object) -> str:
    if detail["type"] == "extra_forbidden":
        return remove_command(path)
    if detail["type"] == "union_tag_invalid":
        return set_command(f"{path}.kind", "bare")
    return set_command(path, "VALUE" if example is None else example)


def _required_leaves(schema: dict[str, Any], steps: list[int | str]) -> list[list[int | str]]:
    """The values that a missing object needs at least; a value itself where it is no object."""
    for node in _at(schema, steps):
        if node.get("required"):
            return [leaf for name in node["required"] for leaf in _required_leaves(schema, [*steps, name])]
    return [steps]


def example_at(schema: dict[str, Any], steps: Sequence[int | str]) -> object:
    """The example that the schema gives for a path, or None. In a union the first member that has the field answers."""
    return next((node["examples"][0] for node in _at(schema, steps) if node.get("examples")), None)


def _at(schema: dict[str, Any], steps: Sequence[int | str]) -> list[dict[str, Any]]:
    """Every schema node that describes the value at a path."""
    nodes = _resolved(schema, schema)
    for step in steps:
        nodes = [found for child in _children(nodes, step) for found in _resolved(schema, child)]
    return nodes


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> list[dict[str, Any]]:
    """The node with its references followed and its alternatives side by side."""
    found = [node]
    if "$ref" in node:
        found += _resolved(schema, schema["$defs"][node["$ref"].rsplit("/", 1)[-1]])
    for member in [*node.get("oneOf", []), *node.get("anyOf", [])]:
        found += _resolved(schema, member)
    return found


def _children(nodes: list[dict[str, Any]], step: int | str) -> list[dict[str, Any]]:
    if isinstance(step, int):
        return [node["items"] for node in nodes if isinstance(node.get("items"), dict)]
    return [node["properties"][step] for node in nodes if step in node.get("properties", {})]
