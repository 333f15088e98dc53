"""What the backup CronJob decides without a server: the line for libpq, and which dumps are superfluous."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.images.files.backup import pass_file_line, private, run, superfluous

NAMES = st.integers(0, 99).map(lambda day: f"postgres-202501{day:02}T000000Z.dump")


def test_special_characters_of_a_password_are_escaped() -> None:
    environment = {"DATABASE_HOST": "h", "DATABASE_PORT": "1", "DATABASE_NAME": "n", "DATABASE_USER": "u"}
    assert pass_file_line(environment, "a:b\\c") == "h:1:n:u:a\\:b\\\\c\n"


@given(st.sets(NAMES), st.integers(1, 5))
def test_the_newest_stay_and_nothing_else_is_touched(names: set[str], keep: int) -> None:
    others = ["notes.txt", "postgres-x.dump", "postgres-20250101T000000Z.dump.partial"]
    gone = superfluous("\n".join([*(f"/folder/{name}" for name in sorted(names)), *others]), keep)
    assert len(names) - len(gone) == min(keep, len(names))
    assert set(gone) <= names
    assert not gone or max(gone) < min(names - set(gone))


def test_keeping_nothing_removes_nothing() -> None:
    assert superfluous("postgres-20250101T000000Z.dump", 0) == []


def test_secrets_are_private_from_their_first_byte(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    path.chmod(0o644)
    assert private(path, "new").stat().st_mode & 0o777 == 0o600
    assert path.read_text() == "new"


def test_a_program_that_fails_or_hangs_ends_the_run() -> None:
    with pytest.raises(SystemExit, match="no old dump was removed: full"):
        run(["sh", "-c", "echo full >&2; exit 1"])
    with pytest.raises(SystemExit, match="took more than"):
        run(["sleep", "5"], seconds=0.05)
