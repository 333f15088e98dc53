"""The ledger of uses: which chute last used its directory of a cache, and when. Its only reader and its only writer.

A file's own times tell little: many file systems keep no times of access, and a model that is loaded is not read again.
What the ledger cannot tell is never a reason to delete: a chute of which a damaged ledger is silent counts as in use.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from agent.cache.reading import chute_directories, is_chute_id

#: JSON: chute id -> Unix seconds of its last known use. It lies in the cache's root, which no chute has mounted.
LEDGER: Final = ".headframe-usage.json"
#: The next ledger while it is written: one name, so that a reboot in the middle leaves no more than one.
_NEXT: Final = f"{LEDGER}.next"
_LONGEST_BYTES: Final = 4 * 1024 * 1024
_READ_WRITE: Final = stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH


def read_uses(root: Path) -> dict[str, float]:
    """Unix seconds of each chute's last known use; nothing where no ledger was written yet.

    Raises:
        OSError: there is a ledger and it cannot be read, or is none: when chutes used their directories is unknown.
    """
    path = root / LEDGER
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
            content = file.read(_LONGEST_BYTES + 1)
    except FileNotFoundError:
        return {}
    try:
        return msgspec.json.decode(content, type=dict[str, float])
    except (msgspec.MsgspecError, RecursionError):
        raise OSError(errno.EBADMSG, "is no ledger of uses", str(path)) from None


def record_uses(root: Path, chute_ids: Iterable[str], now: float) -> str | None:
    """Write down that these chutes use their directories, and forget those whose directories are gone.

    To be called with the cache's lock. The file is replaced in one step and has the permissions of the cache. A ledger
    that cannot be read begins anew, with every chute of the cache as used now. `now` in Unix seconds.

    Returns:
        What was wrong with the ledger that was there.

    Raises:
        OSError: it could not be written; the one that was there still is.
    """
    present = {path.name for path in chute_directories(root)}
    problem = None
    try:
        known: Mapping[str, float] = read_uses(root)
    except OSError as error:
        known = dict.fromkeys(present, now)
        problem = f"{root / LEDGER}: {error.strerror}; it begins anew, with every chute as used now"
    # Never younger again: a clock that stands wrong for a while must not age what was used.
    used = {name: max(now, known.get(name, now)) for name in chute_ids if is_chute_id(name)}
    _replace(root, {name: at for name, at in known.items() if name in present} | used)
    return problem


def _replace(root: Path, uses: Mapping[str, float]) -> None:
    path = root / _NEXT
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), root.stat().st_mode & _READ_WRITE)
        file.write(msgspec.json.encode(uses, order="sorted"))
        file.flush()
        os.fsync(file.fileno())
    path.replace(root / LEDGER)
