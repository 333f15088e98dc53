"""The cache cleaner as a program: `python -m agent.cache`. Prints one JSON report; exits 0 ok, 3 partial, 1 fatal."""

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
    gpus_idle = settings.gpu_idle_seconds == 0 or wait_until_idle(settings.gpu_idle_seconds)
    limits = settings.limits
    policy = CachePolicy(limits.max_age_days, limits.max_size_gb, settings.protected_chutes)
    try:
        report = clean(settings.hf_home, policy, civitai=settings.civitai_home, dry_run=settings.dry_run)
    except (CacheBusyError, OSError) as error:
        print(json.dumps({"fatal": str(error)}))
        return ExitCode.FATAL
    print(json.dumps(dataclasses.asdict(report) | {"gpus_idle": gpus_idle}))
    if report.exit_code is ExitCode.PARTIAL and settings.init_container:
        return ExitCode.OK
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
