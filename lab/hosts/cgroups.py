"""One cgroup per lab host, entered before systemd-nspawn starts, so that each host's cgroup namespace is rooted there.

Without it all hosts of a cgroup v1 machine share one /kubepods. Version 2 was written from the kernel's and systemd's
documentation; the machine that this was developed on mounts version 1 (ADR 0030 says what was run).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_KILL_TIMEOUT_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.1
_VERSION_2_CONTROLLERS: Final = "+cpu +cpuset +io +memory +pids"


@dataclass(frozen=True)
class CgroupLayout:
    """How this machine mounts cgroups: version 1 has one hierarchy per mount, version 2 a single one."""

    version: int
    mounts: tuple[Path, ...]

    @property
    def nspawn_environment(self) -> dict[str, str]:
        """The guest gets the machine's own version."""
        return {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1" if self.version == 2 else "0"}


def parse_layout(mountinfo: str) -> CgroupLayout | None:
    """Read /proc/self/mountinfo; None where no usable hierarchy is mounted."""
    first, second = [], []
    for line in mountinfo.splitlines():
        fields, _, tail = line.partition(" - ")
        kind, _, options = tail.split(" ", 2)
        mount = Path(fields.split()[4])
        if kind == "cgroup":
            first.append((mount, options))
        elif kind == "cgroup2":
            second.append(mount)
    controllers = [mount for mount, options in first if "memory" in options.split(" ")[-1].split(",")]
    if controllers:
        return CgroupLayout(1, tuple(mount for mount, _ in first))
    return CgroupLayout(2, (second[0],)) if second else None


def read_layout() -> CgroupLayout | None:
    """The layout of this machine."""
    return parse_layout(Path("/proc/self/mountinfo").read_text())


@dataclass(frozen=True)
class HostCgroup:
    """The cgroup of one lab host in every hierarchy."""

    layout: CgroupLayout
    name: str

    @property
    def folders(self) -> tuple[Path, ...]:
        return tuple(mount / self.name for mount in self.layout.mounts)

    @property
    def exists(self) -> bool:
        return any(folder.exists() for folder in self.folders)

    def create(self) -> None:
        """Make the cgroup; one that is there stays."""
        if self.layout.version == 2:
            with contextlib.suppress(OSError):  # a controller that this kernel lacks is no reason to refuse
                (self.layout.mounts[0] / "cgroup.subtree_control").write_text(_VERSION_2_CONTROLLERS)
        for mount, folder in zip(self.layout.mounts, self.folders, strict=True):
            folder.mkdir(exist_ok=True)
            if (folder / "cpuset.cpus").exists() and self.layout.version == 1:
                # An empty cpuset admits no process; children must start with their parent's.
                for file in ("cpuset.cpus", "cpuset.mems"):
                    (folder / file).write_text((mount / file).read_text())
                (folder / "cgroup.clone_children").write_text("1")

    def pids(self) -> set[int]:
        """Every process in it and below."""
        found: set[int] = set()
        for folder in self.folders:
            for processes in _below(folder):
                with contextlib.suppress(OSError):  # a cgroup may end while it is read
                    found.update(int(line) for line in (processes / "cgroup.procs").read_text().split())
        return found

    def kill(self) -> None:
        """End every process in it at once, as a power cut does.

        Raises:
            RuntimeError: a process outlived SIGKILL.
        """
        deadline = time.monotonic() + _KILL_TIMEOUT_SECONDS
        while pids := self.pids():
            if time.monotonic() > deadline:
                raise RuntimeError(f"processes of cgroup {self.name} cannot be ended: {sorted(pids)}")
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_POLL_SECONDS)

    def remove(self) -> None:
        """Remove the empty cgroup and those below it.

        Raises:
            OSError: the kernel holds one of them still, 15 s after its last process ended.
        """
        deadline = time.monotonic() + _KILL_TIMEOUT_SECONDS
        for folder in self.folders:
            while folder.exists():
                try:
                    for child in _below(folder):
                        child.rmdir()
                except FileNotFoundError:
                    continue
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_POLL_SECONDS)


def names_with_prefix(layout: CgroupLayout, prefix: str) -> set[str]:
    """Names of cgroups on this machine that start so."""
    return {folder.name for mount in layout.mounts for folder in mount.glob(f"{prefix}*") if folder.is_dir()}


def _below(folder: Path) -> Iterator[Path]:
    """The cgroup folders below one and itself, the deepest first."""
    for path, _, _ in os.walk(folder, topdown=False):
        yield Path(path)
