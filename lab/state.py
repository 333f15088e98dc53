"""Where the lab keeps what is one clone's own and must not lie in it: generated keys, disks, logs."""

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
