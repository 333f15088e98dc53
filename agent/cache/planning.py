"""What to delete from a cache: least recently used first, nothing protected. Pure (spec: agent-monitor 20.6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from agent.cache.scan import CacheEntry, CacheScan
from app.protocol.model_cache import EVERY_CHUTE

GIB: Final = 1024**3
_DAY_SECONDS: Final = 86_400
_RECENT_SECONDS: Final = _DAY_SECONDS


@dataclass(frozen=True)
class CachePolicy:
    """Limits of one node. Age alone deletes nothing below the low-water mark: an old model that fits does no harm.

    Args:
        protected_chutes: chutes that run or start on it now; with `EVERY_CHUTE` among them, all.
    """

    max_age_days: int
    max_size_gb: int
    protected_chutes: frozenset[str] = frozenset()
    low_water_share: float = 0.8

    @property
    def limit_bytes(self) -> int:
        return self.max_size_gb * GIB


class Reason(StrEnum):
    """Why an entry is deleted."""

    AGE = "age"
    SIZE = "size"


@dataclass(frozen=True)
class Deletion:
    """One entry to delete, and why."""

    entry: CacheEntry
    reason: Reason


@dataclass(frozen=True)
class CachePlan:
    """What to delete in this order, and how much will remain. `is_enough`: within the limit afterwards."""

    deletions: tuple[Deletion, ...]
    before_bytes: int
    after_bytes: int
    is_enough: bool


def is_protected(entry: CacheEntry, policy: CachePolicy, now: float) -> bool:
    """Never deleted: the starting chute's and running chutes' directories, and whatever was used within a day."""
    if entry.chute_id and not policy.protected_chutes.isdisjoint({entry.chute_id, EVERY_CHUTE}):
        return True
    return entry.last_used > now - _RECENT_SECONDS


def plan_cleaning(scan: CacheScan, policy: CachePolicy, now: float) -> CachePlan:
    """The deletions that bring a cache within its limits. `now` in Unix seconds.

    Entries of the same age keep the scan's order: a revision's shared files go with the last one that has them.
    """
    remaining = before = scan.total_bytes
    deletions: list[Deletion] = []
    free = sorted(
        (entry for entry in scan.entries if not is_protected(entry, policy, now)),
        key=lambda entry: entry.last_used,
    )
    oldest = now - policy.max_age_days * _DAY_SECONDS
    low_water_bytes = policy.limit_bytes * policy.low_water_share
    for entry in free:
        if remaining > low_water_bytes and entry.last_used < oldest:
            reason = Reason.AGE
        elif remaining > policy.limit_bytes:
            reason = Reason.SIZE
        else:
            break
        deletions.append(Deletion(entry, reason))
        remaining -= entry.size_bytes
    return CachePlan(tuple(deletions), before, remaining, remaining <= policy.limit_bytes)
