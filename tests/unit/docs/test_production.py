"""Pages for operators name commands and options that there are; docs/production.md also settings and reasons that there
are, and every reason that there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from app.api.why import Code
from app.gepetto.decision.configuration import StrategyName
from app.gepetto.decision.eligibility import ChuteObstacle, ServerObstacle
from infra.cli.selection import PARTS, TAGS
from infra.settings.secrets import SECRET_KEYS

DOCS: Final = Path(__file__).parents[3] / "docs"
TEXT: Final = (DOCS / "production.md").read_text(encoding="utf-8")
PAGES: Final = (DOCS.parent / "README.md", *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("strategies/*.md")))
#: A command in backticks, or a line of a block; what follows two spaces and a hash is a comment.
SPOKEN: Final = re.compile(r"(?:^    |`)((?:headframe|chutes-miner|tracker) [^`\n]*)", re.MULTILINE)


def sections(page: str) -> dict[str, str]:
    """Command -> its part of a reference page."""
    text = (DOCS / "reference" / page).read_text(encoding="utf-8")
    parts = re.split(r"^#+ ((?:headframe|chutes-miner|tracker)(?: [\w-]+)*)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


REFERENCE: Final = {**sections("headframe.md"), **sections("chutes-miner.md"), **sections("tracker.md")}


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Each command of a page with its options."""
    for spoken in SPOKEN.findall(page.read_text(encoding="utf-8")):
        words = [word for word in re.split(r"\s+#", spoken)[0].split() if word not in {"--help", "COMMAND"}]
        if words[1:2] == ["="]:
            continue  # Python
        known = [n for n in range(len(words), 0, -1) if " ".join(words[:n]) in REFERENCE]
        yield " ".join(words[: known[0]]) if known else spoken, [word for word in words if word.startswith("--")]


@pytest.mark.parametrize(
    ("command", "options"),
    [pytest.param(*one, id=f"{page.stem}: {one[0]}") for page in PAGES for one in commands(page)],
)
def test_every_command_is_there_with_its_options(command: str, options: list[str]) -> None:
    assert command in REFERENCE
    assert [option for option in options if not re.search(rf"{option}\b", REFERENCE[command])] == []


def test_every_reason_has_its_row() -> None:
    assert re.findall(r"^\| `([a-z_]+)` \|", TEXT.split("`chutes-miner why NAME`")[1], re.MULTILINE) == list(Code)


def test_every_obstacle_has_its_row() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", TEXT.split("| obstacle |")[1], re.MULTILINE)
    assert rows[1:] == [one.value for one in (*ChuteObstacle, *ServerObstacle)]


def test_parts_strategies_and_secrets_that_are_named_exist() -> None:
    only = {name for names in re.findall(r"--only ([\w,-]+)", TEXT) for name in names.split(",")}
    assert only <= PARTS.keys() | TAGS.keys()
    named = set(re.findall(r"strategy: (\w+)\s+# or ([\w, ]+)", TEXT)[0][1].split(", ")) | {"shadow_price"}
    assert named == {str(one) for one in StrategyName}
    assert set(re.findall(r"--secret (\w+)", TEXT)) <= set(SECRET_KEYS)


def test_every_setting_that_is_named_is_in_the_reference() -> None:
    settings = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    keys = set(re.findall(r"^\| (?:\*\*)?`(\w+)`", settings, re.MULTILINE))
    named = re.findall(r"`((?:gepetto|images|machines|monitoring|database|gpu_runtime|gpu_nodes\[\])(?:\.\w+)+)`", TEXT)
    assert len(named) > 5
    assert {part for path in named for part in path.replace("[]", "").split(".")} <= keys
