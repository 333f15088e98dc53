"""Synthetic model caches: Hugging Face hubs and single files with sizes and ages as a test wants them."""

from __future__ import annotations

import os
import time
from pathlib import Path

DAY = 86_400


def add_repository(
    hub: Path, name: str, revisions: dict[str, list[tuple[str, int]]], age_days: float | dict[str, float] = 0
) -> Path:
    """A repository whose revisions link to blobs (name, bytes); blobs of the same name are shared."""
    repository = hub / name
    for revision, blobs in revisions.items():
        snapshot = repository / "snapshots" / revision
        snapshot.mkdir(parents=True)
        (repository / "blobs").mkdir(exist_ok=True)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / f"ref-{revision}").write_text(revision)
        for blob, size in blobs:
            path = repository / "blobs" / blob
            path.write_bytes(b"x" * size)
            (snapshot / f"{blob}.bin").symlink_to(Path("../../blobs") / blob)
            age(path, age_days if isinstance(age_days, int | float) else age_days[revision])
        age(snapshot, age_days if isinstance(age_days, int | float) else age_days[revision])
    return repository


def add_file(path: Path, size: int, age_days: float) -> Path:
    """A single file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    age(path, age_days)
    return path


def age(path: Path, days: float) -> None:
    """Make it look last used so many days ago."""
    moment = time.time() - days * DAY
    os.utime(path, (moment, moment))
