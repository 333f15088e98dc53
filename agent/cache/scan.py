"""Reads a cache directory: which revisions of which repositories, which single files, how big, last used when.

Reads only. What vanishes while it is read is left out; what cannot be read is reported, and nothing of it becomes an
entry, so that nothing of it is deleted. Chutes write their directories themselves: a link in the place of a folder may
lead into another chute's, and is not followed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from agent.cache.ledger import read_uses
from agent.cache.reading import allocated_bytes, chute_directories, directories, files_below, names_below

_REPOSITORY_PREFIXES: Final = ("models--", "datasets--", "spaces--")
_LONGEST_REVISION_BYTES: Final = 256
_MODEL_FILE: Final = ".safetensors"
Found = TypeVar("Found")


@dataclass(frozen=True)
class CacheEntry:
    """The smallest thing that is deleted: one revision of a repository, or one file. Times in Unix seconds.

    Args:
        name: what it is, for the report.
        root: the directory or file that is the whole of it when nothing else shares it.
        paths: what to delete; later ones only after earlier ones.
        size_bytes: what deleting it frees.
        chute_id: whose directory it is in; empty in the common one.
    """

    name: str
    root: Path
    paths: tuple[Path, ...]
    size_bytes: int
    last_used: float
    chute_id: str = ""


@dataclass(frozen=True)
class CacheScan:
    """What a cache holds, and what could not be read: with such problems the total is a lower bound."""

    entries: tuple[CacheEntry, ...]
    problems: tuple[str, ...] = ()

    @property
    def total_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.entries)


@dataclass
class _Blob:
    size_bytes: int
    last_used: float
    revisions: set[str] = field(default_factory=set)


def scan_cache(root: Path, civitai: Path | None = None) -> CacheScan:
    """Everything under a cache's root: the common hub, and every chute's own.

    Raises:
        OSError: the root itself cannot be read.
    """
    found = _Findings()
    uses = found.uses_in(root)
    found.take_in(root, civitai or root / "civitai", "")
    for path in chute_directories(root):
        found.take_in(path, path / "civitai", path.name)
    return CacheScan(tuple(_with_uses(found.entries, uses)), tuple(found.problems))


@dataclass
class _Findings:
    """What a scan has gathered so far."""

    entries: list[CacheEntry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def take_in(self, place: Path, civitai: Path, chute_id: str) -> None:
        """Everything of one place: of one chute, or with an empty id what all have in common."""
        for repository in self.read(place / "hub", directories) or ():
            if repository.name.startswith(_REPOSITORY_PREFIXES):
                self.entries += self.read(repository, partial(_revisions, chute_id=chute_id)) or ()
        for file in self.read(civitai, _model_files) or ():
            self.entries += self.read(file, partial(_single_file, chute_id=chute_id)) or ()

    def uses_in(self, root: Path) -> Mapping[str, float] | None:
        """When chutes last used their directories; None when nobody can tell."""
        try:
            return read_uses(root)
        except OSError as error:
            self.problems.append(f"{error.filename}: {error.strerror}; no chute's directory is touched")
            return None

    def read(self, path: Path, how: Callable[[Path], Found]) -> Found | None:
        """Read one thing; what cannot be read becomes a problem, never a silent nothing."""
        try:
            return how(path)
        except OSError as error:
            self.problems.append(f"{error.filename or path}: {error.strerror or error}; nothing of {path} is touched")
            return None


def _revisions(repository: Path, chute_id: str) -> list[CacheEntry]:
    blobs = {path.name: _measured(status) for path, status in files_below(repository / "blobs").items()}
    snapshots = directories(repository / "snapshots")
    own = {snapshot: _own_bytes(snapshot, blobs) for snapshot in snapshots}
    if len(snapshots) <= 1:
        size = sum(blob.size_bytes for blob in blobs.values()) + sum(own.values())
        return [CacheEntry(repository.name, repository, (repository,), size, _newest(repository, blobs), chute_id)]
    # Oldest first, as they will be deleted. A blob that several revisions share goes with the last of them.
    ages = {snapshot: _last_used(snapshot, blobs) for snapshot in snapshots}
    ordered = sorted(snapshots, key=lambda snapshot: (ages[snapshot], str(snapshot)))
    entries: list[CacheEntry] = []
    last_used = 0.0
    for place, snapshot in enumerate(ordered):
        going = _going_with(snapshot.name, {other.name for other in ordered[place + 1 :]}, blobs)
        # As young as what goes with it, and no younger than those that must go first.
        last_used = max(last_used, ages[snapshot], *(blobs[name].last_used for name in going))
        size = own[snapshot] + sum(blobs[name].size_bytes for name in going)
        files = (repository / "blobs" / name for name in going)
        paths = (snapshot, *_refs_to(repository, snapshot.name), *files)
        entries.append(CacheEntry(f"{repository.name}@{snapshot.name}", snapshot, paths, size, last_used, chute_id))
    return entries


def _going_with(revision: str, later: set[str], blobs: Mapping[str, _Blob]) -> list[str]:
    """The blobs of a revision that no later one needs; with the last one also those that belong to none."""
    going = {name for name, blob in blobs.items() if revision in blob.revisions and not blob.revisions & later}
    if not later:
        going |= {name for name, blob in blobs.items() if not blob.revisions}
    return sorted(going)


def _own_bytes(snapshot: Path, blobs: Mapping[str, _Blob]) -> int:
    """Notes which blobs a revision uses; the size of the files that it holds itself, where there are no links."""
    size = 0
    for path in names_below(snapshot):
        blob = blobs.get(path.readlink().name) if path.is_symlink() else None
        if blob is not None:
            blob.revisions.add(snapshot.name)
        else:
            size += allocated_bytes(path.lstat())
    return size


def _last_used(snapshot: Path, blobs: Mapping[str, _Blob]) -> float:
    """By the blobs that it shares with no other revision; by the directory's own time when there are none."""
    alone = (blob.last_used for blob in blobs.values() if blob.revisions == {snapshot.name})
    return max(alone, default=snapshot.stat().st_mtime)


def _refs_to(repository: Path, revision: str) -> list[Path]:
    return [path for path in files_below(repository / "refs") if _start_of(path) == revision]


def _start_of(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_LONGEST_REVISION_BYTES).decode(errors="replace").strip()


def _newest(repository: Path, blobs: Mapping[str, _Blob]) -> float:
    return max((blob.last_used for blob in blobs.values()), default=repository.stat().st_mtime)


def _model_files(folder: Path) -> list[Path]:
    if folder.is_symlink():
        return []
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith(_MODEL_FILE))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _single_file(path: Path, chute_id: str) -> list[CacheEntry]:
    try:
        blob = _measured(path.lstat())
    except FileNotFoundError:
        return []
    return [CacheEntry(path.name, path, (path,), blob.size_bytes, blob.last_used, chute_id)]


def _measured(status: os.stat_result) -> _Blob:
    # Where access times are not kept (noatime) they stand at creation: the later of both is the better guess.
    return _Blob(allocated_bytes(status), max(status.st_atime, status.st_mtime))


def _with_uses(entries: Iterable[CacheEntry], uses: Mapping[str, float] | None) -> list[CacheEntry]:
    return [replace(entry, last_used=max(entry.last_used, _use_of(entry.chute_id, uses))) for entry in entries]


def _use_of(chute_id: str, uses: Mapping[str, float] | None) -> float:
    """The last use by a chute that was written down; none by the common places, which no chute has mounted."""
    if not chute_id:
        return -math.inf
    # Where nobody can tell it is not over.
    return math.inf if uses is None else uses.get(chute_id, -math.inf)
