"""Programs that nobody asked for in many days leave the cache of builds."""

from __future__ import annotations

import os
from pathlib import Path

from lab.builds.cache import found, kept, locked
from lab.builds.prune import prune

LONG_AGO, LIMIT = 1_000.0, 2_000.0


def make(path: Path) -> None:
    path.write_text("program")


def build(builds: Path, name: str) -> Path:
    """A program that was last asked for long ago."""
    program = kept(builds / name, "program", make)
    os.utime(builds / f"{name}.lock", (LONG_AGO, LONG_AGO))
    return program


def test_what_nobody_asked_for_goes_and_what_was_asked_for_stays(tmp_path: Path) -> None:
    for name in ("forgotten", "kept", "found"):
        build(tmp_path, name)
    kept(tmp_path / "kept", "program", make)
    assert found(tmp_path / "found" / "program") is not None
    assert prune(tmp_path, used_before=LIMIT) == ["forgotten"]
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"kept", "found"}
    assert prune(tmp_path, used_before=LIMIT) == []


def test_one_that_is_being_made_stays(tmp_path: Path) -> None:
    build(tmp_path, "busy-1.0")
    with locked(tmp_path / "busy-1.0.lock"):
        os.utime(tmp_path / "busy-1.0.lock", (LONG_AGO, LONG_AGO))
        assert prune(tmp_path, used_before=LIMIT) == []
    assert found(tmp_path / "busy-1.0" / "program") is not None


def test_one_that_is_damaged_is_not_found(tmp_path: Path) -> None:
    build(tmp_path, "one").write_text("changed")
    assert found(tmp_path / "one" / "program") is None
