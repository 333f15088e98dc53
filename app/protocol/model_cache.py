"""What stack, Gepetto and cleaner tell each other of a node's model cache (spec: agent-monitor 15.1, 20.6). Pure.

The environment variable CACHE_OVERRIDES carries limits as JSON from the stack to Gepetto and to the cleaner: by node
name, a number for the size alone (the public form), or an object. Sizes are GiB, whatever the public name says.
CLEANUP_PROTECT carries the chutes of a node from Gepetto to the cleaner that runs before one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

#: On the node: the cache of all chutes, a directory each, named by the chute's id.
CACHE_FOLDER: Final = "/var/snap/cache"


@dataclass(frozen=True)
class CacheLimits:
    """Age in days after which an unused model may go, and size in GiB that is not exceeded."""

    max_age_days: int
    max_size_gb: int


#: In the place of chute ids: every chute of the node.
EVERY_CHUTE: Final = "*"
#: Linux takes 128 KiB for one environment variable, and the objects of a cluster have a limit too. A node has a place
#: for far fewer chutes than fit in here.
LONGEST_PROTECTION_BYTES: Final = 32 * 1024

#: The public chart's values.
DEFAULT_LIMITS: Final = CacheLimits(max_age_days=30, max_size_gb=500)


class CacheOverride(BaseModel):
    """What one node has instead; what is absent stays the fleet's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_age_days: int | None = Field(None, ge=0)
    max_size_gb: int | None = Field(None, ge=0)


def limits_of(node_name: str, fleet: CacheLimits, overrides: Mapping[str, CacheOverride | int]) -> CacheLimits:
    """The limits that hold on one node."""
    override = overrides.get(node_name)
    if override is None:
        return fleet
    if isinstance(override, int):
        return CacheLimits(fleet.max_age_days, override)
    age, size = override.max_age_days, override.max_size_gb
    return CacheLimits(fleet.max_age_days if age is None else age, fleet.max_size_gb if size is None else size)


def protection_of(chute_ids: Iterable[str]) -> str:
    """The value of CLEANUP_PROTECT: each id once, sorted, separated by commas.

    What cannot be said in full protects all: a list that was cut would give the rest up.
    """
    names = sorted(set(chute_ids))
    text = ",".join(names)
    is_sayable = len(text.encode()) <= LONGEST_PROTECTION_BYTES and not any("," in name for name in names)
    return text if is_sayable else EVERY_CHUTE


def protected_by(text: str) -> frozenset[str]:
    """The chute ids in such a value; `EVERY_CHUTE` may be among them."""
    return frozenset(name.strip() for name in text.split(",") if name.strip())
