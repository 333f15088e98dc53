"""The measured server: a process on a core of its own, and the CPU time that it and the databases used."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from lab.services.redis import free_port

START_SECONDS: Final = 120
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cores:
    """Cores of the machine shared out: one for the server, the others for generator and databases."""

    server: frozenset[int]
    others: frozenset[int]

    @classmethod
    def shared_out(cls) -> Cores:
        """The last core for the server; a machine with one core has it for all."""
        cores = sorted(os.sched_getaffinity(0))
        return cls(frozenset(cores[-1:]), frozenset(cores[:-1] or cores))


@contextmanager
def serving(command: list[str], variables: dict[str, str], cores: Cores) -> Iterator[tuple[int, int]]:
    """A server process on its core; gives its process id and port."""
    port = free_port()
    quiet = subprocess.DEVNULL  # the peer writes a line for each request
    process = subprocess.Popen([*command, str(port)], env=variables, cwd=Path.cwd(), stdout=quiet, stderr=quiet)
    os.sched_setaffinity(process.pid, cores.server)
    try:
        _wait(f"http://127.0.0.1:{port}/ping")
        yield process.pid, port
    finally:
        process.terminate()
        process.wait(20)


def _wait(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise RuntimeError(f"{url} did not answer within {START_SECONDS} s")


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of processes and of their children, living and waited for."""
    every = _processes()
    wanted = set(pids)
    while more := {pid for pid, (parent, _) in every.items() if parent in wanted} - wanted:
        wanted |= more
    return sum(every[pid][1] for pid in wanted if pid in every) / _TICKS_PER_SECOND


def _processes() -> dict[int, tuple[int, int]]:
    """Parent and ticks of each process, those of ended children included."""
    found: dict[int, tuple[int, int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue  # it ended meanwhile
        found[int(folder.name)] = (int(fields[1]), sum(int(ticks) for ticks in fields[11:15]))
    return found
