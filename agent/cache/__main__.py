"""The cache cleaner as a program: `python -m agent.cache`. Prints one JSON report; exits 0 ok, 3 partial, 1 fatal.

Partial is everything that another run may still put right: something could not be deleted or read, the cache is not
within its limit, or another cleaner is at work on it. An init container starts its chute then all the same.
"""

from __future__ import annotations

import dataclasses
import json
import sys

from pydantic import ValidationError

from agent.cache.cleaning import CacheBusyError, ExitCode, clean
from agent.cache.gpus import wait_until_idle
from agent.cache.planning import CachePolicy
from agent.cache.settings import CleanerSettings


def main() -> int:
    """Run once."""
    try:
        settings = CleanerSettings()
    except ValidationError as error:
        places = [".".join(map(str, problem["loc"])) for problem in error.errors()]
        print(json.dumps({"fatal": f"malformed settings: {', '.join(places)}"}))
        return ExitCode.FATAL
    report: dict[str, object] = {}
    if settings.gpu_idle_seconds > 0:
        report["gpus"] = wait_until_idle(settings.gpu_idle_seconds)
    limits = settings.limits
    policy = CachePolicy(limits.max_age_days, limits.max_size_gb, settings.protected_chutes)
    try:
        done = clean(
            settings.hf_home,
            policy,
            civitai=settings.civitai_home,
            dry_run=settings.dry_run,
            lock_wait_seconds=settings.lock_wait_seconds,
        )
    except CacheBusyError as error:
        report, code = report | {"busy": str(error)}, ExitCode.PARTIAL
    except OSError as error:
        report, code = report | {"fatal": str(error)}, ExitCode.FATAL
    else:
        report, code = report | dataclasses.asdict(done), done.exit_code
    print(json.dumps(report))
    return ExitCode.OK if code is ExitCode.PARTIAL and settings.init_container else code


if __name__ == "__main__":
    sys.exit(main())
