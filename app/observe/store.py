"""Takes complete lists into Redis: reads what is known, plans, applies in one atomic step.

Synchronous on purpose: a big list is handled in a process of its own (`app.observe.intake`), where parsing 40 MB stalls
nobody; a small one in a thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, cast

from redis import Redis
from redis.exceptions import NoScriptError

from app.observe.entries import decode_known
from app.observe.keys import entries_key, held_key
from app.observe.planning import Action, Hold, KnownKind, ListReport, Operation, Plan, ShrinkPolicy, Source, plan_list
from app.observe.scripts import APPLY
from app.observe.staging import stage
from app.protocol.channels import ResourceType, health_key, resources_key


class SyncMode(StrEnum):
    """How a list reaches the cache: as a first registration, as a resync, beside both as a live list, or as lists of
    some kinds only, which say nothing of the cluster as a whole."""

    REGISTER = "register"
    RESYNC = "resync"
    LIST = "list"
    PART = "part"


class NotTrackedError(LookupError):
    """The cluster is not tracked: a list or an event must not bring it into being."""


@dataclass(frozen=True)
class SyncResult:
    """What taking in a list did."""

    total: int
    applied: int
    held: int
    skipped: int
    is_complete: bool


_PORTION: Final = 200
#: How Redis names the script once it has seen it.
_SHA: Final = hashlib.sha1(APPLY.encode(), usedforsecurity=False).hexdigest()
_TIMESPEC: Final = "microseconds"


def iso_timestamp(now_ms: int) -> str:
    """UTC with six fractional digits, without which the public reader cannot parse it (spec: agent-monitor 4.9)."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec=_TIMESPEC)


def take_in(
    redis: Redis,
    cluster: str,
    report: ListReport,
    mode: SyncMode,
    now_ms: int,
    *,
    agent: str = "",
    policy: ShrinkPolicy | None = None,
) -> SyncResult:
    """Make the cache equal to a list, in one atomic step.

    Raises:
        NotTrackedError: mode `LIST` or `PART`, and the cluster is not tracked.
    """
    plan = plan_list(report, read_known(redis, cluster, report.objects), now_ms, policy)
    codes = _apply(redis, cluster, plan, report, mode, now_ms, agent)
    if codes == [-1]:
        raise NotTrackedError(f"cluster {cluster} is not tracked; its agent must register first")
    total = sum(len(items) for items in report.objects.values())
    return SyncResult(total, sum(codes), plan.held, sum(report.skipped.values()), plan.is_complete)


def read_known(redis: Redis, cluster: str, kinds: Mapping[ResourceType, object]) -> dict[ResourceType, KnownKind]:
    """What the cache holds of a cluster, without bodies."""
    pipe = redis.pipeline(transaction=True)
    for kind in kinds:
        pipe.hgetall(entries_key(cluster, kind))
        pipe.hkeys(resources_key(cluster, kind))
        pipe.hgetall(held_key(cluster, kind))
    answers = pipe.execute()
    known = {}
    for place, kind in enumerate(kinds):
        entries, fields, held = answers[3 * place : 3 * place + 3]
        known[kind] = KnownKind(
            {name.decode(): decode_known(text) for name, text in entries.items()},
            frozenset(name.decode() for name in fields),
            {name.decode(): parse_hold(text) for name, text in held.items()},
        )
    return known


def parse_hold(text: bytes) -> Hold:
    """A held deletion as stored."""
    uid, _, first_ms = text.decode().rpartition(" ")
    return Hold(uid, int(first_ms))


def apply_arguments(
    cluster: str,
    now_ms: int,
    operations: tuple[Operation, ...],
    *,
    mode: str,
    list_version: str = "",
    agent: str = "",
    is_complete: bool = False,
) -> list[str | bytes | int]:
    """The arguments of one `APPLY` call."""
    arguments: list[str | bytes | int] = [
        cluster,
        now_ms,
        iso_timestamp(now_ms),
        mode,
        list_version,
        agent,
        "1" if is_complete else "0",
    ]
    for operation in operations:
        arguments.extend(operation.arguments())
    return arguments


def _apply(
    redis: Redis, cluster: str, plan: Plan, report: ListReport, mode: SyncMode, now_ms: int, agent: str
) -> list[int]:
    """Puts first and in portions, each atomic; the rest, with all deletions, in the step that ends the sync.

    Portions, because Redis serves nobody while a script runs, and because scripts slow down with many similar long
    strings in one call. No reader can see too little in between: until the last step nothing was taken away.
    """
    # Lists of several kinds have several versions; the lowest is the one that holds for all of them.
    versions = [version for version in report.versions.values() if version.isdigit()]
    list_version = min(versions, key=int) if report.source is Source.LIVE and versions else ""
    puts = [operation for operation in plan.operations if operation.action in {Action.PUT, Action.FORCE}]
    rest = [operation for operation in plan.operations if operation.action not in {Action.PUT, Action.FORCE}]
    codes: list[int] = []
    if not is_tracked(redis, cluster):
        if mode in {SyncMode.LIST, SyncMode.PART}:
            return [-1]
        codes += stage(redis, cluster, puts, now_ms)
        puts = []
    while len(puts) > _PORTION:
        portion, puts = puts[:_PORTION], puts[_PORTION:]
        arguments = apply_arguments(cluster, now_ms, tuple(portion), mode="event", list_version=list_version)
        codes += _evaluate(redis, arguments)
    arguments = apply_arguments(
        cluster,
        now_ms,
        (*puts, *rest),
        mode=mode.value,
        list_version=list_version,
        agent=agent,
        is_complete=plan.is_complete and set(report.objects) == set(ResourceType),
    )
    last = _evaluate(redis, arguments)
    return last if last == [-1] else codes + last


def _evaluate(redis: Redis, arguments: list[str | bytes | int]) -> list[int]:
    try:
        return cast("list[int]", redis.evalsha(_SHA, 0, *arguments))
    except NoScriptError:
        return cast("list[int]", redis.eval(APPLY, 0, *arguments))


def is_tracked(redis: Redis, cluster: str) -> bool:
    """Whether a cluster has a health key."""
    return bool(redis.exists(health_key(cluster)))
