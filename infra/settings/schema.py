"""JSON schema of stack files, so that editors complete and check them. `python -m infra.settings.schema` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from infra.settings.secrets import SECRET_KEYS
from infra.settings.tree import FleetSettings

PROJECT: Final = "headframe"
SCHEMA_FILE: Final = Path(__file__).parents[2] / "stacks" / "settings.schema.json"
_SECURE: Final = {"type": "object", "properties": {"secure": {"type": "string"}}, "required": ["secure"]}


def stack_file_schema() -> dict[str, Any]:
    """The settings' schema, wrapped as a stack file writes them: under `config`, each key with the project's name."""
    tree = FleetSettings.model_json_schema()
    definitions = tree.pop("$defs", {})
    keys = {f"{PROJECT}:{name}": node for name, node in tree["properties"].items()}
    keys |= {f"{PROJECT}:{name}": {**_SECURE, "description": what} for name, (what, _) in SECRET_KEYS.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A Headframe stack file",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": keys,
                "required": [f"{PROJECT}:{name}" for name in tree["required"]],
                "patternProperties": {"^pulumi:": True},
                "additionalProperties": False,
            },
            "encryptionsalt": {"type": "string"},
            "secretsprovider": {"type": "string"},
            "encryptedkey": {"type": "string"},
        },
        "required": ["config"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def rendered() -> str:
    """The schema file's text."""
    return json.dumps(stack_file_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(rendered())
