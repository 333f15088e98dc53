"""A few processes of one folder that start in order, end in reverse order, and die with the process that started them.

Must end only what it started itself or what an earlier run recorded in the same folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_STOP_TIMEOUT_SECONDS: Final = 15.0
_LOG_TAIL_CHARACTERS: Final = 2000


class ProcessGroup:
    """Processes with logs and recorded ids in `folder`.

    The kernel ends a process when the *thread* that started it ends: start from a thread that lives on.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def is_running(self) -> bool:
        return bool(self._running) and all(process.poll() is None for process in self._running.values())

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start one process; one of an earlier run in this folder is ended first.

        Args:
            environment: all of its environment variables; None gives it ours.
        """
        self._end_old(name)
        guarded = [shutil.which("setpriv") or "setpriv", "--pdeathsig", "KILL", *command]
        with self._log(name).open("ab") as log:
            process = subprocess.Popen(
                guarded,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=None if environment is None else dict(environment),
            )
        self._running[name] = process
        self._record(name).write_text(str(process.pid))

    def stop(self, *, together: bool = False) -> None:
        """End all, the last started first; one that does not end in time is killed.

        Args:
            together: ask all at once, where none rests on another.
        """
        for process in self._running.values() if together else ():
            process.terminate()
        for name, process in reversed(self._running.items()):
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._record(name).unlink(missing_ok=True)
        self._running.clear()

    def kill(self) -> None:
        """End all at once, where nobody needs what they hold any more."""
        for process in self._running.values():
            process.kill()
        for name, process in self._running.items():
            process.wait()
            self._record(name).unlink(missing_ok=True)
        self._running.clear()

    def process_id(self, name: str) -> int:
        """Of a process that was started here."""
        return self._running[name].pid

    def raise_if_ended(self) -> None:
        """Raises RuntimeError with the end of the log of a process that ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                tail = self._log(name).read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]
                raise RuntimeError(f"{name} ended with {process.returncode}; its log ends:\n{tail}")

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _record(self, name: str) -> Path:
        return self._folder / f"{name}.pid"

    def _end_old(self, name: str) -> None:
        try:
            pid = int(self._record(name).read_text())
            command_line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return
        if str(self._folder).encode() not in command_line:
            return  # the id belongs to somebody else by now
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + _STOP_TIMEOUT_SECONDS
        while Path(f"/proc/{pid}/cmdline").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
