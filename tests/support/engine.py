"""Small Pulumi projects with a state of their own, run by the real engine."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lab.engine.environment import engine_environment
from lab.engine.toolchain import Toolchain

#: Below the limit of a test, so that what the engine said is shown; a busy machine takes two minutes for a preview.
_TIMEOUT_SECONDS: Final = 280.0
_POLL_SECONDS: Final = 0.05


@dataclass
class Project:
    """A project folder, its file backend and one stack called `dev`."""

    folder: Path
    toolchain: Toolchain
    extra: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = self.folder.parent / f"{self.folder.name}-state"
        self._started: list[subprocess.Popen[str]] = []

    @property
    def environment(self) -> dict[str, str]:
        """What every call gets; `HEADFRAME_TEST` marks the processes of this project."""
        base = {**os.environ, **self.extra, "HEADFRAME_TEST": self.mark}
        return engine_environment(self.toolchain, self.state, base)

    @property
    def mark(self) -> str:
        return str(self.folder)

    def write(self, name: str, text: str) -> None:
        """Write one file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `pulumi` to its end; `check` raises AssertionError with the output when it fails."""
        done = subprocess.run(
            ["pulumi", "--non-interactive", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
        )
        assert not check or done.returncode == 0, (
            f"pulumi {arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `pulumi` and leave it running; its output is in stdout."""
        process = subprocess.Popen(
            ["pulumi", "--non-interactive", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(process)
        return process

    def processes(self) -> dict[int, str]:
        """Process id -> command line of all that belongs to this project."""
        return dict(_marked(f"HEADFRAME_TEST={self.mark}".encode()))

    def end_all(self) -> None:
        """Kill what is left over, so that a failed test harms no other."""
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        for process in self._started:
            if process.returncode is None:
                process.communicate(timeout=10)


def _marked(mark: bytes) -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if command:  # a zombie has none
                    yield int(entry.name), command
        except OSError:
            continue


def eventually(condition: object, seconds: float = 15.0) -> bool:
    """Whether a callable becomes true within `seconds`."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(_POLL_SECONDS)
    return bool(condition())
