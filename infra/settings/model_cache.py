"""Settings of the nodes' model caches, and the environment that hands them to Gepetto and to the cleaner.

Gepetto gives every chute's init container the limits of its node; on TEE nodes this environment is all that we control.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import Field

from app.protocol.model_cache import DEFAULT_LIMITS
from infra.settings.base import Tree


class ModelCacheSettings(Tree):
    """Limits for every node that has none of its own. Least recently used models go first, running ones never."""

    max_age_days: int = Field(
        default=DEFAULT_LIMITS.max_age_days, ge=0, description="Unused for longer may go.", examples=[30]
    )
    max_size_gib: int = Field(
        default=DEFAULT_LIMITS.max_size_gb, ge=1, description="Never more than this.", examples=[500]
    )


class ModelCacheOverride(Tree):
    """Limits of one node; what is absent is the fleet's."""

    max_age_days: int | None = Field(default=None, ge=0, examples=[14])
    max_size_gib: int | None = Field(default=None, ge=1, examples=[3000])


def cleaner_environment(fleet: ModelCacheSettings, nodes: Mapping[str, ModelCacheOverride]) -> dict[str, str]:
    """Environment variables with the public names (spec: agent-monitor 15.1, `app.protocol.model_cache`)."""
    overrides = {
        name: {
            key: value
            for key, value in (("max_age_days", node.max_age_days), ("max_size_gb", node.max_size_gib))
            if value is not None
        }
        for name, node in sorted(nodes.items())
    }
    return {
        "CACHE_MAX_AGE_DAYS": str(fleet.max_age_days),
        "CACHE_MAX_SIZE_GB": str(fleet.max_size_gib),
        "CACHE_OVERRIDES": json.dumps({name: value for name, value in overrides.items() if value}),
    }
