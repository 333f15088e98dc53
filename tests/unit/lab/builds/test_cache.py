"""The cache of built programs."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from infra.images.tools import cache_folder
from lab.builds.cache import kept


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADFRAME_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("HEADFRAME_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "headframe"


def test_a_program_is_made_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        path.write_text("program")

    first = kept(tmp_path / "key", "tool", make)
    second = kept(tmp_path / "key", "tool", make)
    assert first == second == tmp_path / "key" / "tool"
    assert first.read_text() == "program"
    assert len(made) == 1


def test_a_damaged_program_is_made_again(tmp_path: Path) -> None:
    def make(path: Path) -> None:
        path.write_text("good")

    kept(tmp_path / "key", "tool", make).write_text("evil")
    assert kept(tmp_path / "key", "tool", make).read_text() == "good"


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        kept(tmp_path / "key", "tool", fail)
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.lock"]


def test_two_callers_at_once_make_it_once(tmp_path: Path) -> None:
    made: list[Path] = []
    begun = threading.Event()

    def make(path: Path) -> None:
        begun.set()
        made.append(path)
        path.write_text("program")

    callers = [threading.Thread(target=kept, args=(tmp_path / "key", "tool", make)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(10)
    assert begun.is_set()
    assert len(made) == 1
