"""Takes programs out of the cache that nobody asked for in many days; one that is needed again is made again."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.builds.cache import free


def prune(builds: Path, *, used_before: float) -> list[str]:
    """Names of the folders that were taken out.

    Args:
        builds: of the folders. The time of a folder's lock file is when its program was last asked for.
        used_before: Unix seconds.
    """
    taken = []
    for lock in sorted(builds.glob("*.lock")):
        folder = lock.with_suffix("")
        if lock.stat().st_mtime >= used_before or not folder.is_dir():
            continue
        with free(lock) as nobody_has_it:
            if nobody_has_it:
                shutil.rmtree(folder)
                taken.append(folder.name)
    return taken
