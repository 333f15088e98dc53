"""Lets a piece of a test run as a user whom file permissions stop: root reads everything."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def unprivileged() -> Iterator[None]:
    """Meanwhile the process is nobody where it was root; another user stays who it is."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def folder_of_nobody() -> Iterator[Path]:
    """A folder that the unprivileged user owns and reaches; gone afterwards, whatever its permissions have become."""
    with unprivileged():
        folder = Path(tempfile.mkdtemp(prefix="headframe-"))
    try:
        yield folder
    finally:
        for path in (folder, *folder.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(folder)
