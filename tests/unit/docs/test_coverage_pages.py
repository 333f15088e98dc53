"""Pages of docs/coverage and docs/adr name only files, tests and rows that exist. Looks at names, not at proofs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[3]
PAGES: Final = (ROOT / "docs" / "coverage.md", *sorted((ROOT / "docs" / "coverage").glob("*.md")))
RECORDS: Final = tuple(sorted((ROOT / "docs" / "adr").glob("*.md")))
#: Pages whose names are looked up.
NAMING: Final = (*PAGES, *RECORDS)
ROOMS: Final = ("agent", "app", "docs", "graval", "infra", "lab", "policies", "stacks", "tests", "tracker")
_NAMED: Final = re.compile(r"`([^`\s]+)`")
_FILES: Final = frozenset(
    str(path.relative_to(ROOT))
    for room in ROOMS
    for path in (ROOT / room).rglob("*")
    if "__pycache__" not in path.parts and ".mypy_cache" not in path.parts
)
_TESTS: Final = frozenset(
    name
    for path in _FILES
    if path.startswith("tests/") and path.endswith(".py") and (ROOT / path).is_file()
    for name in re.findall(r"^\s*(?:async )?def (test_\w+)", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
)


def named(page: Path) -> Iterator[str]:
    """Every word in backticks."""
    yield from _NAMED.findall(page.read_text(encoding="utf-8"))


def is_there(path: str) -> bool:
    """Whether a file, a folder or a pattern of files has this name, or ends with it."""
    wanted = path.rstrip("/")
    if "*" in wanted:
        return any(Path(one).match(wanted) for one in _FILES)
    return wanted in _FILES or any(one.endswith(f"/{wanted}") for one in _FILES)


@pytest.mark.parametrize("page", NAMING, ids=lambda page: page.name)
def test_every_path_that_a_page_names_is_in_the_clone(page: Path) -> None:
    whole = {word for word in named(page) if word.split("/")[0] in ROOMS and "/" in word and ":" not in word}
    assert {word for word in whole if not is_there(word)} == set()


@pytest.mark.parametrize("page", NAMING, ids=lambda page: page.name)
def test_every_test_file_that_a_page_names_is_in_the_clone(page: Path) -> None:
    files = {word for word in named(page) if re.fullmatch(r"[\w/.*-]*\.(py|go|yaml)", word) and "test" in word}
    assert {word for word in files if not is_there(word)} == set()


@pytest.mark.parametrize("page", NAMING, ids=lambda page: page.name)
def test_every_test_that_a_page_names_is_in_the_clone(page: Path) -> None:
    names = {word.removesuffix("...") for word in named(page) if re.fullmatch(r"test_\w+(\.\.\.)?", word)}
    assert {name for name in names if not any(test.startswith(name) for test in _TESTS)} == set()


def test_every_page_has_its_place_in_the_table_of_pages() -> None:
    listed = set(re.findall(r"\(coverage/([\w-]+\.md)\)", PAGES[0].read_text(encoding="utf-8")))
    assert {page.name for page in PAGES[1:]} == listed


def numbers_of(series: str) -> list[int]:
    """Numbers of a series in the first cells of all rows: `B-07 ...`, or `G-01 to G-04 ...`, or `P3, P4 ...`."""
    found: list[int] = []
    for page in PAGES:
        for cell in re.findall(rf"^\| ({series}-?\d[^|]*)\|", page.read_text(encoding="utf-8"), re.MULTILINE):
            for first, last in re.findall(rf"\b{series}-?(\d+)(?: to {series}-?(\d+))?", cell):
                found += range(int(first), int(last or first) + 1)
    return sorted(found)


@pytest.mark.parametrize(("series", "last"), [("B", 48), ("S", 26), ("G", 28), ("W", 23), ("P", 44)])
def test_every_defect_of_the_public_miner_has_one_row(series: str, last: int) -> None:
    assert numbers_of(series) == list(range(1, last + 1))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_every_record_of_a_decision_has_its_number_and_status(record: Path) -> None:
    number = int(record.name.split("-")[0])
    assert record.read_text(encoding="utf-8").startswith(f"# {number}. ")
    assert "\nStatus: accepted\n" in record.read_text(encoding="utf-8")
