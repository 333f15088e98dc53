"""Reads folders strictly, for the scan: absent is one thing, unreadable another, and only the first one is empty.

Reads only. A link in the place of a folder is not followed: chutes write their directories themselves.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: Unit of `st_blocks`, whatever the file system's own blocks are (stat(3type)).
_BLOCK_BYTES: Final = 512
_CHUTE_ID_LENGTH: Final = 36


def directories(folder: Path) -> list[Path]:
    """The directories in a folder, sorted; none where there is no such folder.

    Raises:
        OSError: it is there and cannot be read.
    """
    if folder.is_symlink():
        return []
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return []


def chute_directories(root: Path) -> list[Path]:
    """The directories of a cache that are a chute's own, each named by its id: what the public cleaner takes for them.

    Raises:
        OSError: the cache cannot be read.
    """
    return [path for path in directories(root.resolve()) if is_chute_id(path.name)]


def is_chute_id(name: str) -> bool:
    """Whether a directory of this name is a chute's own."""
    return len(name) == _CHUTE_ID_LENGTH


def files_below(folder: Path) -> dict[Path, os.stat_result]:
    """Every regular file at any depth of a folder, sorted by path; what vanishes meanwhile is left out.

    Raises:
        OSError: a part of it cannot be read.
    """
    found = {}
    for path in sorted(names_below(folder)):
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode):
            found[path] = status
    return found


def names_below(folder: Path) -> Iterator[Path]:
    """Everything at any depth of a folder that is no directory: files and links.

    Raises:
        OSError: a part of it cannot be read.
    """
    if folder.is_symlink():
        return
    for parent, _, names in os.walk(folder, onerror=_unless_absent):
        yield from (Path(parent) / name for name in names)


def allocated_bytes(status: os.stat_result) -> int:
    """What deleting a file frees: its size, or less where it has holes, as sparse files have."""
    return min(status.st_size, status.st_blocks * _BLOCK_BYTES)


def _unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
