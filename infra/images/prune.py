"""Takes out of the cache what nothing uses any more: no current recipe names it and nobody asked for it in many days.

Runs beside no build. What another clone still names and is gone is built again by its next `pulumi up`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from infra.images.tools import write_whole
from infra.spec.oci import INDEX_SUFFIX, read_image

DAYS: Final = 14
DAY_SECONDS: Final = 86400.0
#: Beside the name of an image that was taken out: what asks for it again is told that it must be built again.
PRUNED_SUFFIX: Final = ".pruned"
_ALGORITHM: Final = "sha256:"


class Steps(Protocol):
    """Images of steps by name, and their removal."""

    def names(self) -> list[str]: ...

    def remove(self, image: str) -> None: ...


@dataclass(frozen=True)
class Kept:
    """What current recipes name: images as `NAME-TAG`, images of steps, bases as their files are named."""

    images: frozenset[str]
    steps: frozenset[str]
    bases: frozenset[str]


@dataclass(frozen=True)
class Pruned:
    """What was taken out."""

    images: int = 0
    steps: int = 0
    files: int = 0
    size_bytes: int = 0

    def __str__(self) -> str:
        return f"{self.images} images, {self.steps} steps, {self.files} files with {self.size_bytes / 1e6:.0f} MB"


def prune(folder: Path, kept: Kept, store: Steps, *, used_before: float) -> Pruned:
    """Take out what was last used before a moment. The caller holds the cache alone.

    Args:
        folder: of the images in the cache. The time of a lock file is when its thing was last asked for.
        used_before: Unix seconds.

    Raises:
        OSError: an index could not be read; no blob was removed then.
    """
    images = [lock.stem for lock in _unused(folder / "archives", "*.lock", used_before) if lock.stem not in kept.images]
    for image in images:
        # First: a cut in between costs one more build, never an image that nobody makes again.
        write_whole(folder / "archives" / f"{image}{PRUNED_SUFFIX}", os.urandom(4).hex())
        for suffix in (INDEX_SUFFIX, ".built", ".lock"):
            (folder / "archives" / f"{image}{suffix}").unlink(missing_ok=True)
    steps = [name for name in store.names() if name not in kept.steps and _is_old(_lock(folder, name), used_before)]
    for name in steps:
        store.remove(name)
        _lock(folder, name).unlink(missing_ok=True)
    files = [*_loose_blobs(folder, used_before), *_old_bases(folder, kept, used_before)]
    size = sum(file.stat().st_size for file in files)
    for file in files:
        file.unlink()
    _forget_layers(folder)
    return Pruned(len(images), len(steps), len(files), size)


def _unused(folder: Path, pattern: str, used_before: float) -> list[Path]:
    return [path for path in sorted(folder.glob(pattern)) if _is_old(path, used_before)]


def _is_old(path: Path, used_before: float) -> bool:
    """Whether a file is there and was last written before a moment. What has no file is not judged."""
    try:
        return path.stat().st_mtime < used_before
    except FileNotFoundError:
        return False


def _lock(folder: Path, step: str) -> Path:
    return folder / f"{step.rpartition('/')[2].replace(':', '-')}.lock"


def _loose_blobs(folder: Path, used_before: float) -> Iterator[Path]:
    """Old blobs that no image has, and what broken-off builds left."""
    wanted: set[str] = set()
    for index in (folder / "archives").glob(f"*{INDEX_SUFFIX}"):
        try:
            wanted |= {blob.digest.removeprefix(_ALGORITHM) for blob in read_image(index).blobs}
        except ValueError:  # a broken one is built again
            continue
    for path in _unused(folder / "blobs" / "sha256", "*", used_before):
        if path.name not in wanted:
            yield path
    yield from _unused(folder / "blobs", "*.partial", used_before)


def _old_bases(folder: Path, kept: Kept, used_before: float) -> Iterator[Path]:
    for lock in _unused(folder, "base-*.lock", used_before):
        if lock.stem not in kept.bases:
            yield from (path for suffix in (".tar", ".sha256", ".lock") if (path := lock.with_suffix(suffix)).exists())


def _forget_layers(folder: Path) -> None:
    """Records of layers whose blob is gone."""
    for record in (folder / "compressed").glob("*.json"):
        name = json.loads(record.read_text())["digest"].removeprefix(_ALGORITHM)
        if not (folder / "blobs" / "sha256" / name).exists():
            record.unlink()
            record.with_suffix(".lock").unlink(missing_ok=True)
