"""Carries a plan out: deletes, goes on after errors, reports what happened. Two cleaners of one cache take turns.

Nothing is deleted whose state cannot be told: an unreadable entry, or a chute's lock that cannot be looked at.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from agent.cache.ledger import record_uses
from agent.cache.locking import LOCK_WAIT_SECONDS, exclusive
from agent.cache.planning import CachePlan, CachePolicy, Deletion, plan_cleaning
from agent.cache.scan import CacheEntry, scan_cache

#: A program that uses a chute's directory may hold this file in it locked (flock): then nothing in it is deleted.
IN_USE: Final = ".headframe-in-use.lock"
#: What stands in a lock's place is no lock: nothing is there, or a link, or a socket.
_NO_LOCK: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})


class ExitCode(IntEnum):
    """How a run ended."""

    OK = 0
    FATAL = 1
    PARTIAL = 3


@dataclass(frozen=True)
class CleaningReport:
    """What a run did; printed as JSON. `freed_bytes` counts what was, or with `dry_run` would have been, deleted.

    Where a part of the cache could not be read the bytes are lower bounds, and nothing is "within the limit".
    """

    dry_run: bool
    before_bytes: int
    freed_bytes: int
    after_bytes: int
    limit_bytes: int
    deleted: tuple[dict[str, str | int | float], ...]
    problems: tuple[str, ...]
    is_within_limit: bool

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.OK if not self.problems and self.is_within_limit else ExitCode.PARTIAL


def clean(
    root: Path,
    policy: CachePolicy,
    *,
    civitai: Path | None = None,
    dry_run: bool = False,
    lock_wait_seconds: float = LOCK_WAIT_SECONDS,
    now: Callable[[], float] = time.time,
) -> CleaningReport:
    """Bring a cache within its limits. The chutes that the policy protects are in use: the ledger is told so first.

    Raises:
        CacheBusyError: another cleaner did not finish in time.
        FileNotFoundError: there is no such cache.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no directory; mount the cache there or set HF_HOME")
    with exclusive(root, lock_wait_seconds):
        problems = [] if dry_run else _told(root, policy, now())
        scan = scan_cache(root, civitai)
        problems += scan.problems
        plan = plan_cleaning(scan, policy, now())
        done: list[Deletion] = []
        for deletion in plan.deletions:
            problem = None if dry_run else _delete(deletion.entry, root)
            if problem is None:
                done.append(deletion)
            else:
                problems.append(problem)
        return _report(plan, policy, done, problems, is_complete=not scan.problems, dry_run=dry_run)


def _told(root: Path, policy: CachePolicy, now: float) -> list[str]:
    """Tell the ledger who is in use; what went wrong. A full disk is such a thing, and no reason not to clean it."""
    try:
        problem = record_uses(root, policy.protected_chutes, now)
    except OSError as error:
        problem = f"{error.filename or root}: {error.strerror}; no use was written down"
    return [] if problem is None else [problem]


def _report(
    plan: CachePlan,
    policy: CachePolicy,
    done: list[Deletion],
    problems: list[str],
    *,
    is_complete: bool,
    dry_run: bool,
) -> CleaningReport:
    freed = sum(deletion.entry.size_bytes for deletion in done)
    deleted: tuple[dict[str, str | int | float], ...] = tuple(
        {
            "name": deletion.entry.name,
            "chute_id": deletion.entry.chute_id,
            "size_bytes": deletion.entry.size_bytes,
            "last_used": deletion.entry.last_used,
            "reason": deletion.reason.value,
        }
        for deletion in done
    )
    after = plan.before_bytes - freed
    return CleaningReport(
        dry_run,
        plan.before_bytes,
        freed,
        after,
        policy.limit_bytes,
        deleted,
        tuple(problems),
        is_complete and after <= policy.limit_bytes,
    )


def _delete(entry: CacheEntry, root: Path) -> str | None:
    """Delete one entry; the problem if there was one."""
    try:
        if entry.chute_id and _is_locked(root / entry.chute_id / IN_USE):
            return f"{entry.name}: in use by {entry.chute_id}"
        for path in entry.paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        return f"{error.filename or entry.root}: {error.strerror}"
    return None


def _is_locked(path: Path) -> bool:
    """Whether a program holds this lock.

    Raises:
        OSError: nobody can tell.
    """
    try:
        # The chute made this file: it may be a pipe, which would keep us waiting, or a link.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in _NO_LOCK:
            return False
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
