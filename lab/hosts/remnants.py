"""Finds and clears what fleets left on the machine: of a killed run, or of another clone that is long gone.

Never touches a fleet of which a process still runs.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

from lab.hosts import kernel
from lab.hosts.cgroups import CgroupLayout, HostCgroup, names_with_prefix
from lab.hosts.disk import mounts_of, remove_nspawn_folders, unmount
from lab.hosts.models import INTERFACE_PREFIX, FleetNames
from lab.hosts.network import Bridge, fleet_id_of_bridge, occupied_networks, remove_cable


class NetworkInUseError(RuntimeError):
    """Another fleet that runs, or the machine itself, uses the network that a fleet wants."""


def host_cgroups(layout: CgroupLayout, names: FleetNames) -> list[HostCgroup]:
    """Cgroups on the machine that belong to hosts of one fleet, declared or not."""
    return [HostCgroup(layout, name) for name in sorted(names_with_prefix(layout, names.cgroup_prefix))]


def runs(layout: CgroupLayout, names: FleetNames) -> bool:
    """Whether any process of the fleet is alive."""
    return any(cgroup.pids() for cgroup in host_cgroups(layout, names))


def clear(layout: CgroupLayout, names: FleetNames, network: IPv4Network) -> None:
    """End every process of a fleet and take away its cables, mounts, cgroups, bridge and firewall rules."""
    cgroups = host_cgroups(layout, names)
    for cgroup in cgroups:
        cgroup.kill()
    for interface in sorted(Path("/sys/class/net").glob(f"vb-{names.fleet_id}-*")):
        remove_cable(interface.name)
    for point in mounts_of(names.cgroup_prefix, Path("/proc/self/mountinfo").read_text()):
        unmount(point)
    for cgroup in cgroups:
        cgroup.remove()
    remove_nspawn_folders(f"{names.fleet_id}-*")
    Bridge(names.bridge, network).remove()
    if not any(Path("/sys/class/net").glob(f"{INTERFACE_PREFIX}*")):
        kernel.restore_settings()


def free_the_network(layout: CgroupLayout, names: FleetNames, wanted: IPv4Network) -> list[str]:
    """Clear dead fleets that hold the wanted network; the names of what was cleared.

    Raises:
        NetworkInUseError: something alive holds it.
    """
    cleared = []
    for interface, network in occupied_networks().items():
        if interface == names.bridge or not network.overlaps(wanted):
            continue
        other = fleet_id_of_bridge(interface)
        if other is None:
            raise NetworkInUseError(
                f"interface {interface} of this machine uses {network}: give the fleet another network"
            )
        if runs(layout, FleetNames(other)):
            raise NetworkInUseError(
                f"another fleet that runs ({interface}) uses {network}: stop it with `make down` in its clone, "
                "or give this fleet another network"
            )
        clear(layout, FleetNames(other), network)
        cleared.append(interface)
    return cleared
