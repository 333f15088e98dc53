"""Two general facts: does a condition hold, and what does a script print."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra.api import FactBase


class Holds(FactBase[bool]):
    """Whether a shell condition is true on the machine. A condition that cannot be judged is not true."""

    default = bool

    def command(self, condition: str) -> str:
        return f"if {condition}; then echo yes; else echo no; fi"

    def process(self, output: Iterable[str]) -> bool:
        return list(output)[-1:] == ["yes"]


class Printed(FactBase[list[str]]):
    """Lines that a script prints; none where it fails."""

    default = list

    def command(self, script: str) -> str:
        return f"{{ {script}; }} || true"

    def process(self, output: Iterable[str]) -> list[str]:
        return list(output)
