"""Processes of this clone's engine that an interrupted run left: found by the engine's home in their environment."""

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
    """End them, first politely; how many there were."""
    found = list(_processes(home))
    for number in (signal.SIGTERM, signal.SIGKILL):
        remaining = list(_processes(home))
        for pid in remaining:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + _END_SECONDS
        while list(_processes(home)) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    return len(found)


def _processes(home: Path) -> Iterator[int]:
    mark = f"PULUMI_HOME={home}".encode()
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
