"""The reference pages say what schema and programs say today."""

from __future__ import annotations

import pytest

from infra.cli.reference import FOLDER, pages, settings_page

PAGES = pages()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_reference_page_is_current(name: str) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8")
    assert written == PAGES[name], f"docs/reference/{name} is out of date: run python -m infra.cli.reference"


def test_there_is_no_page_that_nothing_generates() -> None:
    assert {path.name for path in FOLDER.glob("*.md")} == set(PAGES)


def test_no_page_holds_a_path_of_this_machine() -> None:
    for name, text in PAGES.items():
        assert "/root/" not in text, name
        assert "/home/" not in text, name


def test_settings_are_tables_with_types_limits_and_links() -> None:
    schema = {
        "properties": {
            "config": {
                "properties": {
                    "headframe:node": {"$ref": "#/$defs/Node"},
                    "headframe:key": {"properties": {"secure": {}}, "description": "A\n secret | thing"},
                    "pulumi:x": {},
                },
                "required": ["headframe:node"],
            }
        },
        "$defs": {
            "Kind": {"enum": ["a", "b"]},
            "Node": {
                "description": "One machine.",
                "properties": {
                    "cost": {"type": "number", "exclusiveMinimum": 0, "maximum": 9, "examples": [2.5]},
                    "tags": {"type": "array", "items": {"type": "string"}, "default": []},
                    "kind": {"anyOf": [{"const": "bare"}, {"type": "null"}], "default": "bare"},
                },
                "required": ["cost"],
            },
        },
    }
    page = settings_page(schema)
    assert "| **`node`** | [Node](#node) |  |  | One machine. |" in page
    assert "| `key` | secret |  |  | A secret \\| thing |" in page
    assert "pulumi:x" not in page
    assert "One of `a`, `b`." in page
    assert "| **`cost`** | number > 0, ≤ 9 |  | `2.5` |  |" in page
    assert "| `kind` | `bare` | `bare` |  |  |" in page
    assert "| `tags` | list of string |  |  |  |" in page
