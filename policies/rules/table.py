"""docs/rules.md: the table of all rules, generated. `python -m policies.rules.table` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from policies.rules.catalogue import RULES
from policies.rules.model import Level, Sight

FILE: Final = Path(__file__).parents[2] / "docs" / "rules.md"
_WHERE: Final = {
    Sight.DECLARED: "settings, policy pack",
    Sight.FLEET: "settings, policy pack",
    Sight.OBSERVED: "host runner in plans and before its first change, policy pack",
    Sight.KUBERNETES: "program-wide transform, policy pack",
    Sight.REGISTRATION: "`headframe doctor --chain`; containers: transform and pack",
}
_HEAD: Final = """# Rules

Generated from `policies/rules/catalogue.py`; change it there, then `python -m policies.rules.table`.

A mandatory rule stops a preview before anything is touched; an advisory one only speaks. What cannot be known or
observed yet is never judged.

| rule | what it demands | sees | level | where it is held |
| --- | --- | --- | --- | --- |
"""


def rendered() -> str:
    """The page's text."""
    rows = (
        f"| `{rule.name}` | {rule.demand} | {rule.sight} | {rule.level} | {_WHERE[rule.sight]} |\n"
        for rule in RULES.values()
    )
    return _HEAD + "".join(rows)


def mandatory() -> tuple[str, ...]:
    """Names of the rules that stop a preview."""
    return tuple(rule.name for rule in RULES.values() if rule.level is Level.MANDATORY)


if __name__ == "__main__":
    FILE.write_text(rendered())
