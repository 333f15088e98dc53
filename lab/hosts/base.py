"""The root file system that every lab host is an overlay of: made once by debootstrap, cached by its recipe.

Holds no key, no address, no name: those are each host's own.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from infra.images.tools import cache_folder
from lab.hosts import apt

#: What a rented server brings, and what the lab's Kubernetes takes from its host instead of carrying it along.
PACKAGES: Final = (
    "systemd", "systemd-sysv", "dbus", "udev", "openssh-server", "sudo", "netbase", "kmod", "procps", "less",
    "iproute2", "iptables", "nftables", "ethtool", "iputils-ping", "curl", "ca-certificates", "openssl", "jq",
    "python3-minimal", "tar", "gzip", "zstd", "busybox-static", "apt-utils", "cron", "tzdata",
    "containerd", "runc", "containernetworking-plugins", "etcd-server", "conntrack", "socat", "ipset",
)  # fmt: skip
#: Daemons of those packages that only the lab's Kubernetes starts, and units that have no place in a container.
MASKED_UNITS: Final = (
    "containerd.service",
    "etcd.service",
    "systemd-networkd-wait-online.service",
    "systemd-resolved.service",
    "systemd-modules-load.service",
)
_HOST_UNIT: Final = """\
[Unit]
Description=Headframe lab: make this container look like a machine
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/headframe-lab-host
[Install]
WantedBy=sysinit.target
"""
# systemd-nspawn mounts cgroup v1 controllers read-only and mounts nothing shared; kubelet and containerd need both.
_HOST_SCRIPT: Final = """\
#!/bin/sh
for controller in /sys/fs/cgroup/*; do
    mountpoint -q "$controller" && mount -o remount,rw,bind "$controller"
done
mount --make-rshared /
[ -e /dev/kmsg ] || ln -s /dev/null /dev/kmsg
exit 0
"""
_FILES: Final = {
    "etc/systemd/system/headframe-lab-host.service": (_HOST_UNIT, 0o644),
    "usr/local/sbin/headframe-lab-host": (_HOST_SCRIPT, 0o755),
    # The first process of a pod often ignores SIGTERM: without this a power-off waits 90 s.
    "etc/systemd/system.conf.d/headframe-lab.conf": ("[Manager]\nDefaultTimeoutStopSec=8s\n", 0o644),
    "etc/ssh/sshd_config.d/headframe-lab.conf": ("PasswordAuthentication no\nUseDNS no\n", 0o644),
}
_ENABLED_UNITS: Final = {
    "headframe-lab-host.service": ("/etc/systemd/system", "sysinit.target.wants"),
    "systemd-networkd.service": ("/lib/systemd/system", "multi-user.target.wants"),
}
_TIMEOUT_SECONDS: Final = 1800


def recipe_digest(configuration: apt.AptConfiguration) -> str:
    """Twelve digits that change when anything changes that the root file system is made from."""
    recipe = [configuration.codename, configuration.sources_list, PACKAGES, MASKED_UNITS, _FILES, _ENABLED_UNITS]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]


def base_root(progress: Callable[[str], None] = print) -> Path:
    """Path of the finished root file system; the first call makes it (75 s, 0.5 GB), later ones find it.

    Raises:
        RuntimeError: debootstrap failed; the message holds the end of its output.
    """
    configuration = apt.read()
    folder = cache_folder() / "lab-hosts"
    target = folder / f"base-{configuration.codename}-{recipe_digest(configuration)}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            progress(f"making the hosts' root file system ({configuration.codename}, once)")
            partial = folder / "base.partial"
            shutil.rmtree(partial, ignore_errors=True)
            _bootstrap(partial, configuration)
            _configure(partial, configuration)
            partial.rename(target)
    return target


def _bootstrap(root: Path, configuration: apt.AptConfiguration) -> None:
    command = [
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        configuration.codename,
        str(root),
        configuration.mirror,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS)
    if done.returncode != 0:
        raise RuntimeError(f"debootstrap ended with {done.returncode}:\n{done.stdout[-1500:]}{done.stderr[-500:]}")


def _configure(root: Path, configuration: apt.AptConfiguration) -> None:
    for archive in (root / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()  # each host gets its own
    for name, (content, mode) in _FILES.items():
        _write(root / name, content, mode)
    _write(root / "etc/apt/sources.list", configuration.sources_list, 0o644)
    if configuration.proxy_settings:
        _write(root / "etc/apt/apt.conf.d/90headframe-lab-proxy", configuration.proxy_settings, 0o644)
    units = root / "etc/systemd/system"
    for unit in MASKED_UNITS:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    for unit, (source, wanted_by) in _ENABLED_UNITS.items():
        (units / wanted_by).mkdir(exist_ok=True)
        link = units / wanted_by / unit
        link.unlink(missing_ok=True)
        link.symlink_to(f"{source}/{unit}")


def _write(path: Path, content: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(mode)
