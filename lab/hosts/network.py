"""A fleet's bridge, its way out, and the network cables that a killed host leaves behind.

Touches only interfaces and firewall rules that carry the fleet's own name.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Final

from lab.hosts.commands import CommandError, run, succeeds
from lab.hosts.models import INTERFACE_PREFIX, gateway_of

_CABLE_TIMEOUT_SECONDS: Final = 15.0
_COMMENT: Final = "headframe lab"


@dataclass(frozen=True)
class Bridge:
    """The switch that a fleet's hosts are plugged into; its address is their gateway."""

    name: str
    network: IPv4Network

    @property
    def exists(self) -> bool:
        return interface_exists(self.name)

    def ensure(self) -> None:
        """Make bridge, address and firewall rules where they are missing."""
        if not self.exists:
            run("ip", "link", "add", self.name, "type", "bridge")
        address = f"{gateway_of(self.network)}/{self.network.prefixlen}"
        run("ip", "addr", "replace", address, "dev", self.name)
        run("ip", "link", "set", self.name, "up")
        for rule in self._rules():
            if not succeeds(*_iptables(rule, "-C")):
                run(*_iptables(rule, "-I"))

    def remove(self) -> None:
        """Take away bridge and rules; what is not there is no error."""
        for rule in self._rules():
            while succeeds(*_iptables(rule, "-C")):
                run(*_iptables(rule, "-D"))
        if self.exists:
            run("ip", "link", "del", self.name)

    def _rules(self) -> list[tuple[str, ...]]:
        comment = ("-m", "comment", "--comment", f"{_COMMENT} {self.name}")
        network = str(self.network)
        return [
            ("nat", "POSTROUTING", "-s", network, "!", "-d", network, *comment, "-j", "MASQUERADE"),
            ("filter", "FORWARD", "-i", self.name, *comment, "-j", "ACCEPT"),
            ("filter", "FORWARD", "-o", self.name, *comment, "-j", "ACCEPT"),
        ]


def _iptables(rule: tuple[str, ...], action: str) -> list[str]:
    table, chain, *match = rule
    return ["iptables", "-w", "10", "-t", table, action, chain, *match]


def interface_exists(name: str) -> bool:
    """Whether the machine has a network interface of that name."""
    return Path("/sys/class/net", name).exists()


def remove_cable(name: str) -> None:
    """Take away a host's cable. The kernel drops it only after the last process of the host's network is gone.

    Raises:
        RuntimeError: it is still there after 15 s.
    """
    deadline = time.monotonic() + _CABLE_TIMEOUT_SECONDS
    while interface_exists(name):
        if time.monotonic() > deadline:
            raise RuntimeError(f"network interface {name} cannot be removed; see: ip link show {name}")
        try:
            run("ip", "link", "del", name)
        except CommandError:
            time.sleep(0.1)


def occupied_networks() -> dict[str, IPv4Network]:
    """Every interface with an IPv4 address on this machine, and the network it is on."""
    found = {}
    for interface in json.loads(run("ip", "-json", "-4", "addr")):
        for address in interface.get("addr_info", []):
            found[interface["ifname"]] = IPv4Interface(f"{address['local']}/{address['prefixlen']}").network
    return found


def free_network(occupied: dict[str, IPv4Network], first: int = 0) -> IPv4Network:
    """A network for a further fleet, as tests need one: one of 198.18.100.0/24 to 198.18.199.0/24 that nobody uses.

    Args:
        occupied: networks of this machine's interfaces.
        first: where to begin to look (modulo 100): two runs at one time that begin apart do not meet.

    Raises:
        RuntimeError: all are taken.
    """
    for step in range(100):
        candidate = IPv4Network(f"198.18.{100 + (first + step) % 100}.0/24")
        if not any(candidate.overlaps(network) for network in occupied.values()):
            return candidate
    raise RuntimeError("no network of 198.18.100.0 to 198.18.199.0 is free; see: ip addr")


def fleet_id_of_bridge(interface: str) -> str | None:
    """The fleet whose bridge this is, or None for an interface that is no fleet's."""
    return interface.removeprefix(INTERFACE_PREFIX) if interface.startswith(INTERFACE_PREFIX) else None
