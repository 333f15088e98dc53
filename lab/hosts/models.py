"""What a lab host and a fleet of them are, as data, and the names that everything of theirs carries on the machine.

The kernel is the only record of what runs: each mount, cgroup, bridge and process is found by these names, so that
remnants are found however the run before ended.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final

DEFAULT_NETWORK: Final = IPv4Network("198.18.0.0/24")
#: Before every name on the machine: cgroups, overlay mounts, firewall comments.
NAME_PREFIX: Final = "headframe-"
#: The same for network interfaces, whose names end after 15 characters.
INTERFACE_PREFIX: Final = "hf-"


class HostState(Enum):
    """Whether a lab host runs."""

    RUNNING = "running"
    STOPPED = "stopped"
    ABSENT = "absent"
    #: Not running, yet mounts, cgroups or an interface of it are left: the next boot, stop or wipe clears them.
    REMNANTS = "remnants"


@dataclass(frozen=True)
class LabHost:
    """One machine of the lab.

    Args:
        name: host name; also the node name of its Kubernetes.
        address: its IPv4 address on the fleet's bridge.
        cpus: processors that its Kubernetes may give to pods. Processes outside pods are not held to it.
        memory_mib: memory that its Kubernetes may give to pods, in MiB.
    """

    name: str
    address: str
    cpus: float = 2.0
    memory_mib: int = 8192


@dataclass(frozen=True)
class HostStatus:
    """One row of a fleet's status."""

    host: LabHost
    state: HostState
    answers_ssh: bool


@dataclass(frozen=True)
class FleetNames:
    """Names on the machine of one fleet: different for each fleet name and each state folder, so for each clone."""

    fleet_id: str

    @classmethod
    def of(cls, fleet: str, state_folder: Path) -> FleetNames:
        return cls(_digest(f"{fleet}\0{state_folder.resolve()}", 5))

    @property
    def bridge(self) -> str:
        return f"{INTERFACE_PREFIX}{self.fleet_id}"

    def machine(self, host: str) -> str:
        """Name for systemd-nspawn: `vb-` before it names the host's end of the cable and must fit an interface."""
        return f"{self.fleet_id}-{_digest(host, 5)}"

    def cable(self, host: str) -> str:
        """The bridge's end of the host's network cable."""
        return f"vb-{self.machine(host)}"

    def cgroup(self, host: str) -> str:
        return f"{NAME_PREFIX}{self.machine(host)}"

    def mount_source(self, host: str) -> str:
        """Name of the overlay in the mount table."""
        return f"{NAME_PREFIX}{self.machine(host)}"

    @property
    def cgroup_prefix(self) -> str:
        return f"{NAME_PREFIX}{self.fleet_id}-"


def check_addresses(hosts: tuple[LabHost, ...], network: IPv4Network) -> None:
    """Raises ValueError where two hosts share a name or an address, or an address is not one of the network's hosts."""
    for what, values in (("name", [host.name for host in hosts]), ("address", [host.address for host in hosts])):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"two lab hosts have the {what} {twice[0]}: give each its own")
    gateway = gateway_of(network)
    for host in hosts:
        address = IPv4Address(host.address)
        if address not in network or address in (gateway, network.network_address, network.broadcast_address):
            raise ValueError(
                f"{host.name}: address {host.address} is not free for a host in {network} (bridge: {gateway})"
            )


def gateway_of(network: IPv4Network) -> IPv4Address:
    """The bridge's own address: the first of the network."""
    return network.network_address + 1


def _digest(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
