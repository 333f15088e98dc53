"""What `make down` takes away without an engine."""

from __future__ import annotations

from pathlib import Path

from lab.engine.environment import backend_folder
from lab.fleet.engine import forget_stack


def test_a_forgotten_stack_leaves_nothing_of_itself_and_needs_no_engine(tmp_path: Path) -> None:
    for folder in (backend_folder(tmp_path), tmp_path / "stack"):
        folder.mkdir(exist_ok=True)
        (folder / "something").touch()
    (tmp_path / "hotkey").touch()
    forget_stack(tmp_path)
    forget_stack(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["hotkey"]
