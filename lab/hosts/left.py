"""What of a fleet is still on the machine, looked up apart from the code that clears it. Changes nothing.

`make down` ends with it: a claim that nothing is left is worth what the look behind it is worth.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from lab.hosts.commands import run
from lab.hosts.models import FleetNames

_FIREWALL_TABLES: Final = ("filter", "nat")


def left_of(names: FleetNames) -> list[str]:
    """One line for each process, mount, cgroup, interface and firewall rule that carries the fleet's names."""
    cgroups = [path for path in Path("/sys/fs/cgroup").rglob(f"{names.cgroup_prefix}*") if path.is_dir()]
    interfaces = [entry.name for entry in Path("/sys/class/net").iterdir()]
    firewall = [line for table in _FIREWALL_TABLES for line in run("iptables-save", "-t", table).splitlines()]
    return [
        *processes_in(names.cgroup_prefix),
        *mounts_in(names.cgroup_prefix, Path("/proc/self/mountinfo").read_text()),
        *(f"cgroup {path}" for path in cgroups),
        *(f"network interface {name}" for name in interfaces if names.fleet_id in name),
        *(f"firewall rule {line}" for line in firewall if names.bridge in line),
    ]


def processes_in(prefix: str, processes: Path = Path("/proc")) -> list[str]:
    """Processes in a cgroup whose path holds the prefix."""
    found = []
    for entry in sorted(path for path in processes.iterdir() if path.name.isdigit()):
        try:
            if prefix in (entry / "cgroup").read_text():
                found.append(f"process {entry.name} ({(entry / 'comm').read_text().strip()})")
        except OSError:  # it has ended
            continue
    return found


def mounts_in(prefix: str, mountinfo: str) -> Iterable[str]:
    """Mounts of which any field holds the prefix: source, root, point or option."""
    return [f"mount {line.split()[4]}" for line in mountinfo.splitlines() if prefix in line]
