"""Long commands with a line of progress."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from lab.builds.progress import CommandFailedError, Line, run_with_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_failure_shows_the_end_of_the_output(tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-c", "print('line of reason'); raise SystemExit(3)"]
    with pytest.raises(CommandFailedError, match=r"ended with status 3:\nline of reason"):
        run_with_progress("trying", command, folder=tmp_path, timeout_seconds=20)


def test_success_says_how_long_it_took(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_with_progress("trying", ["true"], folder=tmp_path, timeout_seconds=20)
    assert capsys.readouterr().err == "  trying: done in 0 s\n"


def test_a_command_that_hangs_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match="was stopped after 0 s"):
        run_with_progress("trying", ["sleep", "60"], folder=tmp_path, timeout_seconds=0.3)


def test_a_terminal_sees_one_line_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("lab.builds.progress.time.monotonic", lambda: now[0])
    terminal = Terminal()
    line = Line("building x", terminal)
    line.tick()
    now[0] += 1.0
    line.tick()
    now[0] += 0.5
    line.tick()
    line.done()
    assert terminal.getvalue() == "  building x ... 1 s\r  building x: done in 2 s\n"
