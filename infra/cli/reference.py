"""docs/reference: every setting and every command, generated. `python -m infra.cli.reference` writes the pages.

Settings come from the schema that editors read, commands from the programs themselves; nothing is said here that they
do not say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cyclopts import App

from app.cli.main import app as miner_app
from infra.cli.app import app as fleet_app
from infra.settings.schema import SCHEMA_FILE
from tracker.cli.main import app as tracker_app

FOLDER: Final = Path(__file__).parents[2] / "docs" / "reference"
_COMMANDS: Final[Mapping[str, App]] = {"headframe": fleet_app, "chutes-miner": miner_app, "tracker": tracker_app}
_NOTE: Final = "Generated; change the code, then `python -m infra.cli.reference`.\n"
_PREFIX: Final = "headframe:"
Schema = Mapping[str, Any]


def pages() -> dict[str, str]:
    """The text of each page by its file name."""
    commands = {f"{name}.md": _command_page(app) for name, app in _COMMANDS.items()}
    return {"settings.md": settings_page(json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))), **commands}


def _command_page(app: App) -> str:
    # The library puts the way in which this very module was started into every usage line.
    title, rest = app.generate_docs().replace(" -m infra.cli.reference", "").split("\n", 1)
    return f"{title}\n\n{_NOTE}{rest.rstrip()}\n"


def settings_page(schema: Schema) -> str:
    """All keys of a stack file, then the groups that they are made of, by name."""
    keys = schema["properties"]["config"]["properties"]
    required = set(schema["properties"]["config"].get("required", ()))
    own = {name.removeprefix(_PREFIX): value for name, value in keys.items() if name.startswith(_PREFIX)}
    needed = {name.removeprefix(_PREFIX) for name in required}
    parts = [
        "# Settings\n\n" + _NOTE,
        "A stack file holds these keys under `config`, each as `headframe:KEY`. A value in bold is needed.\n",
        _table(own, needed, schema["$defs"]),
    ]
    groups = schema["$defs"]
    for name, group in sorted(groups.items()):
        parts.append(f"## {name}\n\n{_sentence(group.get('description', ''))}\n\n{_body(group, groups)}")
    return "\n".join(parts)


def _body(group: Schema, groups: Schema) -> str:
    if "enum" in group:
        return "One of " + ", ".join(f"`{value}`" for value in group["enum"]) + ".\n"
    return _table(group.get("properties", {}), set(group.get("required", ())), groups)


def _table(fields: Mapping[str, Schema], required: set[str], groups: Schema) -> str:
    rows = ["| key | type | default | example | meaning |", "| --- | --- | --- | --- | --- |"]
    for name, field in sorted(fields.items()):
        key = f"**`{name}`**" if name in required else f"`{name}`"
        example = _plain(field["examples"][0]) if field.get("examples") else ""
        cells = (key, _type(field), _default(field), example, _meaning(field, groups))
        rows.append("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _meaning(field: Schema, groups: Schema) -> str:
    """Its own description, or that of the one group it is."""
    options = [field, *field.get("anyOf", ()), *field.get("oneOf", ())]
    named = [one["$ref"].rsplit("/", 1)[-1] for one in options if "$ref" in one]
    own = str(field.get("description", ""))
    return own or (str(groups[named[0]].get("description", "")) if len(named) == 1 else "")


def _type(field: Schema) -> str:
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "const" in field:
        return f"`{field['const']}`"
    if options := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(_type(one) for one in options if one.get("type") != "null")
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    if set(field.get("properties", ())) == {"secure"}:
        return "secret"
    return str(field.get("type", "any")) + _limits(field)


def _limits(field: Schema) -> str:
    names = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {field[name]}" for name, sign in names.items() if name in field]
    return f" {', '.join(found)}" if found else ""


def _default(field: Schema) -> str:
    value = field.get("default")
    if value is None or isinstance(value, dict | list):  # those of a group stand in its own table
        return ""
    return _plain(value)


def _plain(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text[1:-1] if isinstance(value, str) else text}`"


def _sentence(text: str) -> str:
    return " ".join(text.split())


def write() -> None:
    """Write every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
