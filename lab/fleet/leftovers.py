"""Processes of this clone that outlive the command that started them: found by a mark in their environment."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_END_SECONDS: Final = 6.0
_POLL_SECONDS: Final = 0.1


def end_engine_processes(home: Path) -> int:
    """End what an interrupted run of the engine left; how many there were."""
    return end_marked(f"PULUMI_HOME={home}")


def marked(mark: str) -> list[int]:
    """Process ids with `NAME=value` in their environment; neither this process nor those that wait for it."""
    return list(_processes(mark.encode()))


def end_marked(mark: str) -> int:
    """End them, first politely; how many there were."""
    found = marked(mark)
    for number in (signal.SIGTERM, signal.SIGKILL):
        remaining = marked(mark)
        for pid in remaining:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + _END_SECONDS
        while marked(mark) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    return len(found)


def _processes(mark: bytes) -> Iterator[int]:
    mine = _ancestors()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in mine:
            continue
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0") and (entry / "cmdline").read_bytes():
                yield int(entry.name)


def _ancestors() -> set[int]:
    """This process and those that wait for it, such as a shell that took over the lab's environment."""
    found = {0}
    pid = os.getpid()
    while pid not in found:
        found.add(pid)
        try:
            status = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            break
        pid = int(status.rpartition(")")[2].split()[1])
    return found
