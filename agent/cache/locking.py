"""The lock of a cache: of two programs that change it or its ledger, one waits for the other."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_LOCK: Final = ".headframe-cleaner.lock"
LOCK_WAIT_SECONDS: Final = 60.0
_LOCK_POLL_SECONDS: Final = 0.2


class CacheBusyError(RuntimeError):
    """Another cleaner works on this cache for longer than we wait: it does what we came for."""


@contextmanager
def exclusive(root: Path, wait_seconds: float) -> Iterator[None]:
    """Hold a cache's lock; it ends with the process that holds it.

    Raises:
        CacheBusyError: another cleaner did not finish in time.
        OSError: there is no such cache, or it cannot be written.
    """
    path = root / _LOCK
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + wait_seconds
        while not _took(descriptor):
            if time.monotonic() > deadline:
                raise CacheBusyError(f"another cleaner has held {path} for {wait_seconds:g} s; it does the cleaning")
            time.sleep(_LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _took(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
