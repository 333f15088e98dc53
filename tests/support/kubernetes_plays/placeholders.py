"""Replaces what differs from run to run by placeholders, in records and in fresh answers alike."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from lab.engine.kubernetes.values import UNKNOWN_TEXT

_KEYS: Final = {
    "uid": "<uid>",
    "resourceVersion": "<resourceVersion>",
    "creationTimestamp": "<time>",
    "nodePort": "<port>",
    "healthCheckNodePort": "<port>",
    "stackTrace": "<stack>",
}
_SENTINELS: Final = frozenset(
    {UNKNOWN_TEXT, "3eeb2bf0-c639-47a8-9e75-3b44932eb421", "dd056dcd-154b-4c76-9bd3-c8f88648b5ff"}
)
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PATTERNS: Final = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"(pulumi-kubernetes)-[0-9a-f]{8}\b"), r"\1-<manager>"),
    (re.compile(r"(?<=[a-z0-9])-[0-9a-f]{8}\b"), "-<suffix>"),  # names that the provider made up
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:<port>"),
    (re.compile(r"\b10\.43\.\d+\.\d+\b"), "<clusterIP>"),
)


@dataclass
class Placeholders:
    """`texts` maps what only this machine has, such as a kubeconfig, to its placeholder."""

    texts: dict[str, str] = field(default_factory=dict)

    def __call__(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {self._text(name): self(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self(item) for item in value]
        if isinstance(value, float) and value.is_integer():
            return int(value)  # the wire knows floats alone
        if key in _KEYS and value:
            return value if value in _SENTINELS else _KEYS[key]
        return self._text(value) if isinstance(value, str) else value

    def _text(self, value: str) -> str:
        for text, name in self.texts.items():
            value = value.replace(text, name)
        value = _UUID.sub(lambda match: match[0] if match[0] in _SENTINELS else "<uid>", value)
        for pattern, name in _PATTERNS:
            value = pattern.sub(name, value)
        return value
