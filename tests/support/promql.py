"""Names of the metrics that a PromQL expression reads, to hold dashboards and rules to the code.

Not a parser of PromQL (promtool checks the syntax): what is quoted, in braces or brackets, or a list of labels goes,
and of the words that are left those are metrics that are no function, operator or keyword.
"""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABELS: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_DROPPED: Final = re.compile(r"\"[^\"]*\"|'[^']*'|\{[^}]*\}|\[[^\]]*\]")
_WORDS: Final = frozenset({"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "inf", "nan"})


def metric_names(expression: str) -> frozenset[str]:
    """The metrics, without their label matchers."""
    rest = _LABELS.sub(" ", _DROPPED.sub(" ", expression))
    found = set()
    for match in _NAME.finditer(rest):
        is_call = rest[match.end() :].lstrip().startswith("(")
        before = rest[: match.start()]
        is_number = bool(before) and (before[-1].isdigit() or before[-1] == ".")
        if not is_call and not is_number and match.group().lower() not in _WORDS:
            found.add(match.group())
    return frozenset(found)
