"""Runs a long command with one line of progress: what is being done and for how many seconds.

Must not print the command's own output unless it fails.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TextIO

_TICK_SECONDS: Final = 1.0
_LOG_TICK_SECONDS: Final = 30.0
_TAIL_CHARACTERS: Final = 3000


class CommandFailedError(RuntimeError):
    """A command ended with a status other than 0; the message holds the end of its output."""


class Line:
    """One line that counts seconds: rewritten in place on a terminal, repeated every half minute in a log."""

    def __init__(self, what: str, stream: TextIO | None = None) -> None:
        self._what = what
        self._stream = stream or sys.stderr
        self._started = time.monotonic()
        self._next = self._started + (_TICK_SECONDS if self._stream.isatty() else _LOG_TICK_SECONDS)

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self._started

    def tick(self) -> None:
        """Print when it is time to."""
        if time.monotonic() < self._next:
            return
        terminal = self._stream.isatty()
        self._next += _TICK_SECONDS if terminal else _LOG_TICK_SECONDS
        end = "\r" if terminal else "\n"
        print(f"  {self._what} ... {self.elapsed_seconds:.0f} s", end=end, file=self._stream, flush=True)

    def done(self, word: str = "done") -> None:
        print(f"  {self._what}: {word} in {self.elapsed_seconds:.0f} s", file=self._stream, flush=True)


def run_with_progress(
    what: str,
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float,
) -> None:
    """Run `command` in `folder` to its end.

    Raises:
        CommandFailedError: it ended badly or took longer than `timeout_seconds`; it is then killed.
    """
    line = Line(what)
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None and line.elapsed_seconds < timeout_seconds:
                try:
                    process.wait(_TICK_SECONDS / 4)
                except subprocess.TimeoutExpired:
                    line.tick()
        finally:
            overdue = process.poll() is None
            if overdue:
                process.kill()
                process.wait()
        if process.returncode == 0:
            line.done()
            return
        output.seek(0)
        tail = output.read().decode(errors="replace")[-_TAIL_CHARACTERS:]
    end = f"was stopped after {timeout_seconds:.0f} s" if overdue else f"ended with status {process.returncode}"
    raise CommandFailedError(f"{what}: `{' '.join(command)}` in {folder} {end}:\n{tail}")
