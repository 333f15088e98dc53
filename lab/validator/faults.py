"""Scripted misbehaviour of the simulated validator: refusals, hangs, cut streams. Data, set over `/lab/faults`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatch


class FaultKind(StrEnum):
    """How a request goes wrong."""

    REFUSE = "refuse"  # an HTTP error of the given status
    HANG = "hang"  # no answer for `seconds`
    DROP = "drop"  # the connection is closed without an answer
    CUT = "cut"  # a streamed list breaks off after `after` objects
    EMPTY = "empty"  # a streamed list ends at once, without the end marker
    GARBAGE = "garbage"  # 200 with a body that is not JSON
    SLOW = "slow"  # the answer comes after `seconds`


@dataclass
class Fault:
    """One rule: requests whose `METHOD /path` matches the pattern, the next `times` of them (None: for ever)."""

    pattern: str
    kind: FaultKind
    status: int = 500
    detail: str = "SIMULATED fault"
    times: int | None = 1
    after: int = 1
    seconds: float = 1.0


class Faults:
    """Rules in order; the first match counts."""

    def __init__(self) -> None:
        self.rules: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Add a rule behind the others."""
        self.rules.append(fault)

    def clear(self) -> None:
        """Behave again."""
        self.rules.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for this request, used up by one."""
        for rule in self.rules:
            if fnmatch(f"{method} {path}", rule.pattern):
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times <= 0:
                        self.rules.remove(rule)
                return rule
        return None
