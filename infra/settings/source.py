"""Where settings come from: Pulumi's configuration in a program, a plain mapping in tests and in the CLI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

import pulumi
from pulumi.runtime import config as runtime_config
from pulumi.runtime import is_config_secret

from infra.settings.secrets import SECRET_KEYS


class ConfigSource(Protocol):
    """Top-level keys without the project's name."""

    def keys(self) -> frozenset[str]: ...

    def plain(self, key: str) -> object:
        """The value of a key, structured values parsed; a secret one is answered with None."""
        ...

    def is_secret(self, key: str) -> bool: ...

    def secret(self, key: str) -> pulumi.Output[str] | None: ...


class PulumiConfigSource:
    """Reads the running program's configuration."""

    def __init__(self, project: str) -> None:
        self._config = pulumi.Config(project)
        self._prefix = f"{project}:"

    def keys(self) -> frozenset[str]:
        every = {**runtime_config.get_config_env(), **runtime_config.CONFIG.get()}
        return frozenset(key.removeprefix(self._prefix) for key in every if key.startswith(self._prefix))

    def plain(self, key: str) -> object:
        if self.is_secret(key) or key in SECRET_KEYS:
            return None
        return parsed(self._config.get(key))

    def is_secret(self, key: str) -> bool:
        return bool(is_config_secret(f"{self._prefix}{key}"))

    def secret(self, key: str) -> pulumi.Output[str] | None:
        return self._config.get_secret(key)


class MappingSource:
    """Plain values beside secret ones, for tests and for checks of a stack file that is not decrypted."""

    def __init__(self, plain: Mapping[str, object], secrets: Mapping[str, str] | None = None) -> None:
        self._plain = plain
        self._secrets = secrets or {}

    def keys(self) -> frozenset[str]:
        return frozenset(self._plain) | frozenset(self._secrets)

    def plain(self, key: str) -> object:
        return self._plain.get(key)

    def is_secret(self, key: str) -> bool:
        return key in self._secrets

    def secret(self, key: str) -> pulumi.Output[str] | None:
        value = self._secrets.get(key)
        return None if value is None else pulumi.Output.secret(value)


def parsed(text: str | None) -> object:
    """Structured values travel as JSON text; anything else is the text itself."""
    if text is None:
        return None
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, dict | list) else text
