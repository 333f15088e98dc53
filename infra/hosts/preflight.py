"""What must be true of a machine before its first change. Decides on facts; changes nothing."""

from __future__ import annotations

from typing import Final

from infra.spec import HostFacts, HostSpec

_SYSTEMS: Final = ("debian", "ubuntu")
_ARCHITECTURES: Final = ("x86_64", "aarch64")


def objections(spec: HostSpec, facts: HostFacts) -> tuple[str, ...]:
    """Reasons not to touch the machine; none when all is well."""
    found: list[str] = []
    if facts.os_id not in _SYSTEMS:
        found.append(f"{spec.name} runs {facts.os_id or 'an unknown system'}; wanted one of {', '.join(_SYSTEMS)}")
    if facts.architecture not in _ARCHITECTURES:
        found.append(f"{spec.name} is {facts.architecture or 'of unknown architecture'}; wanted x86_64 or aarch64")
    return tuple(found)
