"""Where the lab keeps what must not lie in the clone: generated keys, disks, logs (state) and slow builds (cache)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

_REPOSITORY: Final = Path(__file__).resolve().parent.parent


def clone_id(repository: Path = _REPOSITORY) -> str:
    """Eight hexadecimal digits that tell this clone from others on the machine: two clones share no state."""
    return hashlib.sha256(str(repository.resolve()).encode()).hexdigest()[:8]


def state_folder(repository: Path = _REPOSITORY) -> Path:
    """`$XDG_STATE_HOME/headframe/<clone id>`, made if absent, mode 0700: secrets of the lab are in it."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    folder = Path(base) / "headframe" / clone_id(repository)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    return folder


def cache_folder() -> Path:
    """`$HEADFRAME_CACHE`, else `$XDG_CACHE_HOME/headframe`, made if absent: builds that every clone may use."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(os.environ.get("HEADFRAME_CACHE") or f"{base}/headframe")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
