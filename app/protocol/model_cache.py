"""Limits of a node's model cache, and what one node has instead of the fleet's (spec: agent-monitor 15.1). Pure.

The environment variable CACHE_OVERRIDES carries them as JSON from the stack to Gepetto and to the cleaner: by node
name, a number for the size alone (the public form), or an object. Sizes are GiB, whatever the public name says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, Field


@dataclass(frozen=True)
class CacheLimits:
    """Age in days after which an unused model may go, and size in GiB that is not exceeded."""

    max_age_days: int
    max_size_gb: int


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
