"""Settings of the provider itself.

Project and provider share the name `headframe`, so the engine offers the provider every key of the project's own
configuration, secrets included. Only the keys below are taken; all others are dropped before they reach the state.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

REFRESH_HOSTS: Final = "refresh_hosts"
_CHILDREN_PER_CORE: Final = 4
_OFF: Final = frozenset({"false", "0", "no", "off"})


@dataclass(frozen=True)
class Options:
    """How the provider works.

    Attributes:
        refresh_hosts: whether Read looks at machines. Off: `headframe:refresh_hosts: false` in the stack file, or
            HEADFRAME_REFRESH_HOSTS=false for one run. The engine's own `--refresh=false` does not turn it off.
        children: how many machines are worked on at once.
    """

    refresh_hosts: bool = True
    children: int = _CHILDREN_PER_CORE

    @classmethod
    def read(cls, variables: Mapping[str, JsonValue], environment: Mapping[str, str]) -> Options:
        wanted = environment.get("HEADFRAME_REFRESH_HOSTS", str(variables.get(REFRESH_HOSTS, "true")))
        return cls(
            refresh_hosts=wanted.strip().lower() not in _OFF,
            children=_CHILDREN_PER_CORE * (os.cpu_count() or 1),
        )


def own_variables(inputs: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The part of the offered configuration that is the provider's."""
    return {key: value for key, value in inputs.items() if key in {REFRESH_HOSTS, "version"}}
