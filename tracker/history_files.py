"""Keeps files and store in step: takes files into the store that it lacks, and writes files out of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tracker import files
from tracker.errors import StorageError
from tracker.store.store import Store


@dataclass(frozen=True)
class Taken:
    """What an import did."""

    new: int
    known: int
    broken: tuple[files.Unreadable, ...]


async def take_in(store: Store, folder: Path, progress: Callable[[int, int], None] = lambda _done, _of: None) -> Taken:
    """Take every file of a folder into the store by time. A file that is no snapshot is named and skipped."""
    known_times = await store.times()
    listed = await asyncio.to_thread(lambda: sorted(folder.glob("snapshot_*.json")))
    paths = [path for path in listed if _name_time(path) not in known_times]
    broken: list[files.Unreadable] = []
    new = known = 0
    for done, path in enumerate(paths, start=1):
        try:
            snapshot = await asyncio.to_thread(files.read, path)
        except StorageError as error:
            broken.append(files.Unreadable(path, str(error)))
        else:
            added = await store.add(snapshot)
            new, known = new + added, known + (not added)
        progress(done, len(paths))
    return Taken(new, known, tuple(broken))


def _name_time(path: Path) -> str:
    return path.stem.removeprefix("snapshot_")


async def write_out(store: Store, folder: Path, progress: Callable[[int, int], None] = lambda _done, _of: None) -> int:
    """Write every snapshot of the store as a file, leaving files that are there; returns how many were new."""
    blocks = await store.blocks()
    new = 0
    for done, (network, block) in enumerate(blocks, start=1):
        snapshot = await store.get(network, block)
        _, is_new = await asyncio.to_thread(files.write, snapshot, folder)
        new += is_new
        progress(done, len(blocks))
    return new
