"""What a machine must be able to do to boot lab hosts. Says what is missing and what would give it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lab.hosts.cgroups import CgroupLayout, read_layout
from lab.hosts.commands import succeeds

_TOOLS: Final = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "iptables": "iptables",
    "ssh-keygen": "openssh-client",
    "apt-get": "apt (lab hosts are made from Debian packages)",
}


class CannotBootHostsError(RuntimeError):
    """This machine cannot boot lab hosts; the message lists what would be needed."""


def missing(
    platform: str = sys.platform,
    is_root: bool | None = None,
    find: Callable[[str], str | None] = shutil.which,
    works: Callable[..., bool] = succeeds,
    layout: Callable[[], CgroupLayout | None] = read_layout,
) -> list[str]:
    """What this machine lacks, one sentence each; empty where lab hosts can be booted."""
    if platform != "linux":
        return [f"lab hosts need Linux; this is {platform}"]
    if not (os.geteuid() == 0 if is_root is None else is_root):
        return ["lab hosts need root (mounts, network, namespaces): run as root"]
    lacks = [f"{tool} was not found: apt-get install {package}" for tool, package in _TOOLS.items() if not find(tool)]
    if not works("unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "true"):
        lacks.append("namespaces cannot be made: in a container, run it privileged")
    if "overlay" not in Path("/proc/filesystems").read_text() and not works("modprobe", "overlay"):
        lacks.append("the kernel has no overlay file system: load module overlay")
    cgroups = layout()
    if cgroups is None:
        lacks.append("no cgroup hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup")
    else:
        read_only = [str(mount) for mount in cgroups.mounts if not _is_writable(mount)]
        if read_only:
            lacks.append(f"cgroups cannot be made in {', '.join(read_only)}: in a container, run it privileged")
    return lacks


def require() -> CgroupLayout:
    """The cgroup layout of a machine that can boot lab hosts.

    Raises:
        CannotBootHostsError: it cannot.
    """
    lacks = missing()
    if lacks:
        raise CannotBootHostsError("this machine cannot boot lab hosts:\n" + "\n".join(f"  - {line}" for line in lacks))
    return layout_of_this_machine()


def layout_of_this_machine() -> CgroupLayout:
    """The cgroup layout, for calls that only look or clear.

    Raises:
        CannotBootHostsError: there is none, so no lab host either.
    """
    layout = read_layout() if sys.platform == "linux" else None
    if layout is None:
        raise CannotBootHostsError("this machine has no lab hosts: no cgroup hierarchy is mounted")
    return layout


def _is_writable(mount: Path) -> bool:
    probe = mount / f"headframe-probe-{os.getpid()}"
    try:
        probe.mkdir()
        probe.rmdir()
    except (OSError, subprocess.SubprocessError):
        return False
    return True
