"""docs/glossary.md defines each term once, in the order of the alphabet, in one sentence or two."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

TEXT: Final = (Path(__file__).parents[3] / "docs" / "glossary.md").read_text(encoding="utf-8")
ROWS: Final = re.findall(r"^\| (?!term|---)([^|]+) \| ([^|]+) \|$", TEXT, re.MULTILINE)


def test_every_row_is_a_term_and_its_meaning() -> None:
    assert len(ROWS) == TEXT.count("\n| ") - 2 > 50
    assert [term for term, meaning in ROWS if not meaning.endswith(".")] == []


def test_each_term_is_defined_once_and_found_by_the_alphabet() -> None:
    terms = [term.lower() for term, _ in ROWS]
    assert terms == sorted(set(terms))
