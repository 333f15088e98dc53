"""Locks of a file backend: who holds a stack, and whether that engine still runs. Other backends have no such files."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Lock:
    """One lock as the engine wrote it. Without a host's name it cannot be read, as one that a power cut left empty."""

    pid: int
    hostname: str
    username: str
    timestamp: str
    path: Path

    def __str__(self) -> str:
        if not self.hostname:
            return f"an unreadable lock {self.path}"
        return f"{self.username}@{self.hostname}, process {self.pid}, since {self.timestamp}"


@dataclass(frozen=True)
class LockReport:
    """Locks of a stack: those whose engine is gone, and those whose engine runs or cannot be asked."""

    abandoned: tuple[Lock, ...] = ()
    held: tuple[Lock, ...] = ()


def lock_folder(backend_url: str, project: str, stack: str) -> Path | None:
    """Where a file backend keeps the locks of a stack; None for another kind of backend.

    `pulumi login --local` makes it `file://~`, whose home is no part of a path to a URL's grammar.
    """
    parts = urlsplit(backend_url)
    if parts.scheme != "file":
        return None
    root = Path(unquote(parts.netloc + parts.path)).expanduser()
    return root / ".pulumi" / "locks" / "organization" / project / stack.rsplit("/", 1)[-1]


def read_locks(folder: Path) -> list[Lock]:
    """All locks in a folder; none where there is no such folder. One that cannot be read is a lock too."""
    return [found for path in sorted(folder.glob("*.json")) if (found := _lock(path)) is not None]


def _lock(path: Path) -> Lock | None:
    """None for a lock that was given back just now."""
    try:
        content = json.loads(path.read_text())
        return Lock(
            pid=int(content["pid"]),
            hostname=str(content["hostname"]),
            username=str(content.get("username", "?")),
            timestamp=str(content.get("timestamp", "?")),
            path=path,
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return Lock(pid=0, hostname="", username="?", timestamp="?", path=path)


def judge(locks: Iterable[Lock], hostname: str, is_engine: Callable[[int], bool]) -> LockReport:
    """A lock is abandoned only when it is this machine's and its process is no engine any more. What cannot be seen is
    held: absence of evidence frees nothing."""
    abandoned: list[Lock] = []
    held: list[Lock] = []
    for lock in locks:
        gone = lock.hostname == hostname and not is_engine(lock.pid)
        (abandoned if gone else held).append(lock)
    return LockReport(tuple(abandoned), tuple(held))


def is_running_engine(pid: int) -> bool:
    """Whether a process of this number runs the engine. A number that another program got in the meantime is none."""
    process = Path(f"/proc/{pid}")
    try:
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        program = (process / "cmdline").read_bytes().split(b"\0", 1)[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:
        return True
    if state == "Z":  # its parent has not looked yet, but it does nothing any more
        return False
    return program == b"" or Path(program.decode(errors="replace")).name.startswith("pulumi")


def own_hostname() -> str:
    """This machine's name as the engine writes it into locks."""
    return socket.gethostname()
