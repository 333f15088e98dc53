"""What runs on this machine, read from /proc."""

from __future__ import annotations

from pathlib import Path


def children_of(process_id: int) -> list[int]:
    """Direct children of a process."""
    tasks = Path(f"/proc/{process_id}/task")
    found = [(task / "children").read_text().split() for task in tasks.glob("*")] if tasks.exists() else []
    return [int(child) for children in found for child in children]


def arguments_of(process_id: int) -> str:
    """Its command line, or "" when it is gone."""
    return _read(process_id, "cmdline")


def environment_of(process_id: int) -> str:
    """Its environment at the start, or "" when it is gone."""
    return _read(process_id, "environ")


def is_alive(process_id: int) -> bool:
    """Whether it runs; a zombie does not."""
    status = _read(process_id, "stat").rpartition(")")[2].split()
    return bool(status) and status[0] != "Z"


def _read(process_id: int, name: str) -> str:
    try:
        return Path(f"/proc/{process_id}/{name}").read_text(errors="replace").replace("\0", "\n")
    except (FileNotFoundError, ProcessLookupError):
        return ""
