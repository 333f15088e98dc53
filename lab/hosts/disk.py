"""The disk of one lab host: an overlay over the common root, and a folder for what must lie on no overlay."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.hosts.commands import CommandError, run, succeeds

_UNMOUNT_TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Disk:
    """Folders of one host: `upper` is what it wrote, `root` is what it sees, `data` is its /var/lib/rancher."""

    folder: Path
    source: str

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def is_mounted(self) -> bool:
        return str(self.root) in mounts_named(self.source, Path("/proc/self/mountinfo").read_text())

    def mount(self, base: Path) -> None:
        """Mount the overlay over `base`; folders are made as needed."""
        upper, work = self.folder / "upper", self.folder / "work"
        for folder in (upper, work, self.root, self.data):
            folder.mkdir(parents=True, exist_ok=True)
        if not self.is_mounted:
            options = f"lowerdir={base},upperdir={upper},workdir={work}"
            run("mount", "-t", "overlay", self.source, "-o", options, str(self.root))

    def unmount(self) -> None:
        """Unmount the overlay wherever it is mounted.

        Raises:
            CommandError: something outside the host uses it.
        """
        for point in mounts_named(self.source, Path("/proc/self/mountinfo").read_text()):
            unmount(point)

    def write(self, name: str, content: str, mode: int = 0o644) -> None:
        """Write one file of the mounted host, replacing what was there, be it a link."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755 if mode & 0o044 else 0o700)
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(content)
        path.chmod(mode)


def mounts_of(prefix: str, mountinfo: str) -> list[str]:
    """Where overlays whose source starts so are mounted, the last mounted first."""
    return [point for source, point in _overlays(mountinfo) if source.startswith(prefix)]


def mounts_named(source: str, mountinfo: str) -> list[str]:
    """Where overlays of exactly this source are mounted: `gpu-1` is not `gpu-10`. The last mounted first."""
    return [point for found, point in _overlays(mountinfo) if found == source]


def _overlays(mountinfo: str) -> list[tuple[str, str]]:
    """Source and mount point of every overlay, the last mounted first."""
    found = []
    for line in mountinfo.splitlines():
        fields, _, tail = line.partition(" - ")
        kind, name, _ = tail.split(" ", 2)
        if kind == "overlay":
            found.append((name, fields.split()[4].replace("\\040", " ")))
    return found[::-1]


def unmount(point: str) -> None:
    """Unmount one mount point, waiting a little for the last process that used it.

    Raises:
        CommandError: it is still busy after 10 s.
    """
    deadline = time.monotonic() + _UNMOUNT_TIMEOUT_SECONDS
    while not succeeds("umount", point):
        if time.monotonic() > deadline:
            raise CommandError(f"{point} cannot be unmounted; see who uses it: fuser -vm {point}")
        time.sleep(0.1)


def remove_nspawn_folders(machines: str) -> None:
    """Remove what systemd-nspawn leaves in /run for machines of that name (a pattern), where /run is on a disk."""
    for folder in Path("/run/systemd/nspawn").glob(f"*/{machines}"):
        shutil.rmtree(folder, ignore_errors=True)
