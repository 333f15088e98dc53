"""Compares the answers of a play with the record of the same case."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.support.vectors import Call, Json, comparable, differences

#: Compared in full in the case `configuration` alone: everywhere else they are the same.
_SETUP: Final = frozenset({"Handshake", "CheckConfig", "Configure"})


@dataclass(frozen=True)
class Line:
    """One call of a play and how it was answered: `response` or `error`."""

    step: str
    method: str
    answer: Json


def deviations(case: str, recorded: Sequence[Call], played: Sequence[Line]) -> list[str]:
    """Where a play did not go as recorded; empty is a pass."""
    got = {(line.step, line.method): line for line in played}
    found: list[str] = []
    for want in recorded:
        line = got.pop((want.step, want.method), None)
        found += [f"{want.step} ({want.method}): {text}" for text in _deviations(case, want, line)]
    return found + [f"{step} ({method}): not in the record" for step, method in got]


def _deviations(case: str, want: Call, line: Line | None) -> Iterator[str]:
    if line is None:
        yield "never called, an earlier step went another way"
    elif want.method in _SETUP and case != "configuration":
        if ("error" in want.answer) != ("error" in line.answer):
            yield f"{'failed' if 'error' in line.answer else 'succeeded'}, unlike the record"
    else:
        yield from differences(_judged(want.answer), _judged(line.answer))


def _judged(answer: Json) -> Json:
    """What counts of an answer: neither texts for people nor the server's own bookkeeping of managers."""
    result = comparable(json.loads(json.dumps({key: answer[key] for key in ("response", "error") if key in answer})))
    if error := result.get("error"):
        details = [entry for entry in error.get("details", []) if not entry["@type"].endswith("ErrorCause")]
        for entry in details:
            entry.pop("reasons", None)
        error.pop("details", None)
        if details:
            error["details"] = details
    _drop(result, "managedFields")
    return result


def _drop(value: object, key: str) -> None:
    if isinstance(value, dict):
        value.pop(key, None)
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _drop(item, key)
