"""The cache of built and downloaded programs: one folder per key, verified before use, filled by one caller at a time.

Knows nothing of how a program is made. Must never hand out a file whose content is not what was recorded.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_RECORD: Final = "SHA256"
_CHUNK_BYTES: Final = 1 << 20


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of one file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that ends with the process; a second caller waits. Its time is when it was last taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.utime(path)
        yield


@contextmanager
def free(path: Path) -> Iterator[bool]:
    """Whether nobody holds a lock that is there; then nobody does until the block ends. Its time stays."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def kept(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    """The program `name` in `folder`; `make(path)` writes it where it is absent or damaged.

    The program appears under its name only when it is whole and its hash is recorded, so an interrupted run leaves
    nothing that a later one could mistake for a result. Two callers make it once.

    Raises:
        OSError: the cache cannot be written.
        Whatever `make` raises; the folder then holds no program.
    """
    target = folder / name
    with locked(folder.with_name(f"{folder.name}.lock")):
        if is_whole(target):
            return target
        shutil.rmtree(folder, ignore_errors=True)
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            make(partial / name)
            (partial / _RECORD).write_text(sha256_of(partial / name) + "\n")
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target


def found(target: Path) -> Path | None:
    """A program that is there and whole; asking for it counts as its use."""
    if not is_whole(target):
        return None
    target.parent.with_name(f"{target.parent.name}.lock").touch()
    return target


def is_whole(target: Path) -> bool:
    """Whether a program is there and is what was recorded when it was made."""
    try:
        recorded = (target.parent / _RECORD).read_text().strip()
        return recorded == sha256_of(target)
    except FileNotFoundError:
        return False
