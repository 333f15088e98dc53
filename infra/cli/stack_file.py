"""Edits of a stack file that keep its comments. Pure: text in, text out; what would break a rule is refused."""

from __future__ import annotations

import io
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from infra.settings.load import validate
from infra.settings.mistakes import Mistake
from infra.settings.secrets import SECRET_KEYS
from infra.settings.source import MappingSource
from infra.settings.tree import NodeState

PREFIX: Final = "headframe:"
_NODES: Final = f"{PREFIX}gpu_nodes"


class StackFileError(RuntimeError):
    """There is no such file, it cannot be read, or the edit is refused; the file was not touched."""


def stack_file(clone: Path, stack: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The file that the engine reads for a stack: the one that its environment names, else the one under stacks/."""
    named = environment.get("PULUMI_OPTION_CONFIG_FILE")
    return Path(named) if named else clone / "stacks" / f"Pulumi.{stack.rsplit('/', 1)[-1]}.yaml"


def read(path: Path) -> str:
    """The text of a stack file.

    Raises:
        StackFileError: there is none.
    """
    try:
        return path.read_text()
    except FileNotFoundError:
        raise StackFileError(f"{path} is not there: headframe init writes it") from None


def settings_of(text: str) -> dict[str, object]:
    """Plain settings of a stack file, without the project's prefix and without secrets.

    Raises:
        StackFileError: it is no YAML, or no stack file.
    """
    return {key: value for key, value in _config(text).items() if key not in SECRET_KEYS}


def _config(text: str) -> dict[str, object]:
    """What is the project's, without its prefix."""
    try:
        content = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise StackFileError(f"the stack file is no valid YAML: {error}") from None
    content = {} if content is None else content
    config = (content.get("config") or {}) if isinstance(content, dict) else None
    if not isinstance(config, dict):
        raise StackFileError("the stack file holds no mapping of settings under `config`: headframe init writes one")
    return {key.removeprefix(PREFIX): value for key, value in config.items() if str(key).startswith(PREFIX)}


def source_of(text: str) -> MappingSource:
    """The whole configuration of a stack file as the program would read it, encrypted values left closed.

    Raises:
        StackFileError: as `settings_of`.
    """
    config = _config(text)
    secrets = [key for key, value in config.items() if isinstance(value, dict) and set(value) == {"secure"}]
    return MappingSource({key: config[key] for key in config.keys() - set(secrets)}, dict.fromkeys(secrets, ""))


def nodes_of(text: str) -> list[dict[str, Any]]:
    """The entries of the list of GPU nodes."""
    nodes = settings_of(text).get("gpu_nodes")
    return list(nodes) if isinstance(nodes, list) else []


def add_node(text: str, node: Mapping[str, object]) -> str:
    """One entry more at the end of the list; nothing else changes.

    Raises:
        StackFileError: the name is taken, or the entry breaks a rule.
    """
    document = _read(text)
    config = document["config"]
    if any(entry.get("name") == node["name"] for entry in config.get(_NODES) or []):
        raise StackFileError(f"{node['name']} is in the list already: headframe node list")
    config.setdefault(_NODES, [])
    config[_NODES].append(CommentedMap(node))
    return _checked(text, _written(document))


def set_state(text: str, name: str, state: NodeState) -> str:
    """Another state for one node.

    Raises:
        StackFileError: there is no such node.
    """
    document = _read(text)
    _entry(document, name)["state"] = state.value
    return _checked(text, _written(document))


def remove_node(text: str, name: str) -> str:
    """The list without one node.

    Raises:
        StackFileError: there is no such node, or it is neither drained nor dead: its pods would run on with our hotkey.
    """
    document = _read(text)
    entry = _entry(document, name)
    if entry.get("state", NodeState.ACTIVE) == NodeState.ACTIVE:
        raise StackFileError(
            f"{name} is active. First: headframe node drain {name} (or --dead if it is gone), then pulumi up, then "
            f"headframe node remove {name}"
        )
    document["config"][_NODES].remove(entry)
    return _checked(text, _written(document))


def set_kubernetes(text: str, version: str, source: str, sha256: str | None) -> str:
    """Another k3s: version, source and checksum together, because each is true of one binary only.

    Raises:
        StackFileError: they break a rule, as a download without a checksum does.
    """
    document = _read(text)
    wanted = document["config"].setdefault(f"{PREFIX}kubernetes", CommentedMap())
    wanted |= {"version": version, "source": source}
    if sha256:
        wanted["sha256"] = sha256
    else:
        wanted.pop("sha256", None)
    return _checked(text, _written(document))


def write(path: Path, text: str) -> None:
    """Whole or not at all, with the mode that the file had."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text)
    partial.chmod(path.stat().st_mode & 0o777)
    partial.replace(path)


def _entry(document: CommentedMap, name: str) -> CommentedMap:
    entries = document["config"].get(_NODES) or []
    found = next((entry for entry in entries if entry.get("name") == name), None)
    if found is None:
        known = ", ".join(str(entry.get("name")) for entry in entries) or "none"
        raise StackFileError(f"there is no node {name}; the list has: {known}")
    assert isinstance(found, CommentedMap)  # noqa: S101 a round trip gives no other mapping
    return found


def _checked(before: str, after: str) -> str:
    """The new text, unless it holds a mistake that the old one did not."""
    old = Counter(_identity(mistake) for mistake in validate(settings_of(before)))
    new = []
    for mistake in validate(settings_of(after)):
        old[_identity(mistake)] -= 1
        if old[_identity(mistake)] < 0:
            new.append(mistake)
    if new:
        raise StackFileError("refused:\n" + "\n".join(f"  {mistake.path}: {mistake.wrong}" for mistake in new))
    return after


def _identity(mistake: Mistake) -> tuple[str, str]:
    """A mistake without its place in the list, which moves when another entry leaves."""
    return re.sub(r"\[\d+\]", "[]", mistake.path), mistake.wrong


def round_trip() -> YAML:
    """A reader and writer that keeps comments and order."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _read(text: str) -> CommentedMap:
    try:
        document = round_trip().load(text)
    except YAMLError as error:
        raise StackFileError(f"the stack file is no valid YAML: {error}") from None
    if not isinstance(document, CommentedMap) or not isinstance(document.get("config"), CommentedMap):
        raise StackFileError("the stack file has no config: write one with headframe init")
    return document


def _written(document: CommentedMap) -> str:
    out = io.StringIO()
    round_trip().dump(document, out)
    return out.getvalue()
