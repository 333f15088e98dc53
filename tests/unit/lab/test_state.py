"""State is per clone and private."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.state import clone_id, state_folder


def test_two_clones_have_different_ids_and_one_clone_keeps_its_own(tmp_path: Path) -> None:
    assert clone_id(tmp_path / "a") != clone_id(tmp_path / "b")
    assert clone_id(tmp_path / "a") == clone_id(tmp_path / "b" / ".." / "a")


def test_the_state_folder_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = state_folder(tmp_path / "clone")
    assert folder == tmp_path / "headframe" / clone_id(tmp_path / "clone")
    assert folder.stat().st_mode & 0o777 == 0o700
