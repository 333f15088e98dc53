"""The cache cleaner as a program: `python -m agent.cache`. Prints one JSON report; exits 0 ok, 3 partial, 1 fatal.

Partial is everything that another run may still put right: something could not be deleted or read, the cache is not
within its limit, another cleaner is at work on it, or nobody tells which chutes run. An init container starts its chute
then all the same.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from typing import Final

from pydantic import ValidationError

from agent.cache.cleaning import ExitCode, clean
from agent.cache.gpus import wait_until_idle
from agent.cache.ledger import record_uses
from agent.cache.locking import CacheBusyError, exclusive
from agent.cache.planning import CachePolicy
from agent.cache.running import RunningUnknownError, ask_running
from agent.cache.settings import CleanerSettings

_ANNOUNCE_SECONDS: Final = 5.0


def main() -> int:
    """Run once."""
    try:
        settings = CleanerSettings()
    except ValidationError as error:
        places = [".".join(map(str, problem["loc"])) for problem in error.errors()]
        print(json.dumps({"fatal": f"malformed settings: {', '.join(places)}"}))
        return ExitCode.FATAL
    report, code = _run(settings)
    print(json.dumps(report))
    return ExitCode.OK if code is ExitCode.PARTIAL and settings.init_container else code


def _run(settings: CleanerSettings) -> tuple[dict[str, object], ExitCode]:
    report: dict[str, object] = {}
    try:
        policy = _policy(settings)
        if settings.gpu_idle_seconds > 0:
            report |= _announced(settings, policy)
            report["gpus"] = wait_until_idle(settings.gpu_idle_seconds)
        done = clean(
            settings.hf_home,
            policy,
            civitai=settings.civitai_home,
            dry_run=settings.dry_run,
            lock_wait_seconds=settings.lock_wait_seconds,
        )
    except RunningUnknownError as error:
        return report | {"unknown": f"which chutes run, so nothing is deleted: {error}"}, ExitCode.PARTIAL
    except CacheBusyError as error:
        return report | {"busy": str(error)}, ExitCode.PARTIAL
    except OSError as error:
        return report | {"fatal": str(error)}, ExitCode.FATAL
    return report | dataclasses.asdict(done), done.exit_code


def _policy(settings: CleanerSettings) -> CachePolicy:
    protected = settings.protected_chutes
    if settings.cleanup_protect_running:
        protected |= ask_running(os.environ, settings.namespace)
    return CachePolicy(settings.limits.max_age_days, settings.limits.max_size_gb, protected)


def _announced(settings: CleanerSettings, policy: CachePolicy) -> dict[str, object]:
    """Tell the ledger before the wait for GPUs, so that cleaners of other chutes know of this one meanwhile.

    What cannot be told now is told, or reported, by the cleaning.
    """
    if settings.dry_run:
        return {}
    try:
        with exclusive(settings.hf_home, _ANNOUNCE_SECONDS):
            problem = record_uses(settings.hf_home, policy.protected_chutes, time.time())
    except (CacheBusyError, OSError):
        return {}
    return {} if problem is None else {"ledger": problem}


if __name__ == "__main__":
    sys.exit(main())
