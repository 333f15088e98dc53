"""What commands print: data on stdout, words on stderr, so that `--json` can be piped."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import orjson
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

GIBIBYTE: Final = 1 << 30
#: `--raw-json` is the public name.
Json = Annotated[bool, Parameter(name=("--raw-json", "--json"), negative="--no-raw-json")]
Yes = Annotated[bool, Parameter(name=("--yes", "-y"), negative=())]


def out() -> Console:
    """Standard output."""
    return Console()


def err() -> Console:
    """Standard error."""
    return Console(stderr=True)


def print_json(value: object) -> None:
    """JSON with an indent of 2."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())


def table(title: str | None, columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    """A table; None prints as a dash."""
    shown = Table(*columns, title=title, title_justify="left")
    for row in rows:
        shown.add_row(*("-" if cell is None else str(cell) for cell in row))
    out().print(shown)


def ask(question: str) -> str:
    """Ask on the terminal; the end of input counts as no."""
    try:
        return input(f"{question} ").strip()
    except EOFError:
        return ""


def confirmed(question: str) -> bool:
    """Whether the answer is `y` or `yes`."""
    return ask(f"{question} [y/N]:").lower() in ("y", "yes")


def minutes(text: object) -> str | None:
    """A timestamp as `YYYY-MM-DD HH:MM`."""
    try:
        return datetime.fromisoformat(str(text)).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return None


def mapping(value: object) -> dict[str, object]:
    """An object of an answer; anything else is an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[dict[str, object]]:
    """A list of objects of an answer; what is no object is left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def number(value: object) -> float:
    """A figure of an answer; anything else is 0."""
    return float(value) if isinstance(value, int | float) else 0.0
