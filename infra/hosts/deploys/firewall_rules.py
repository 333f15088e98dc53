"""The firewall as nftables text: who may reach which port of the machine (spec: infra 1.3). Pure.

The rules sit before destination NAT, because kube-proxy rewrites the address of a node port there and such packets
never pass the input hook. They live in a table of their own, so kube-proxy's and the CNI's rules are never touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, collapse_addresses
from typing import Final

from app.protocol.ports import NODE_PORT_FIRST, NODE_PORT_LAST, HostPort, NodePort
from infra.spec import FirewallSpec, HostRole

TABLE: Final = "inet headframe"
#: Interfaces over which only pods of this machine speak to it.
_POD_INTERFACES: Final = ("lo", "cni*", "flannel*", "veth*")


@dataclass(frozen=True)
class Opening:
    """TCP ports (and for chutes also UDP) that some networks reach. No networks: nobody; None: the world."""

    what: str
    ports: tuple[str, ...]
    networks: tuple[IPv4Network, ...] | None
    protocols: tuple[str, ...] = ("tcp",)


def openings(role: HostRole, firewall: FirewallSpec, ssh_port: int) -> tuple[Opening, ...]:
    """The port map of a machine by its role."""
    operators, control, workers = firewall.operator_networks, firewall.control_networks, firewall.worker_networks
    managed = (
        Opening("SSH", (str(ssh_port),), operators),
        Opening("Kubernetes API", (str(HostPort.KUBERNETES_API.value),), (*operators, *control)),
    )
    if role is HostRole.CONTROL:
        return (
            *managed,
            Opening("Grafana", (str(NodePort.GRAFANA.value),), operators),
            Opening("miner API", (str(NodePort.MINER_API.value),), (*operators, *workers)),
            Opening("monitor", (str(NodePort.MONITOR_API.value),), (*operators, *workers)),
            # Also for addresses that no machine declares: to see those is what it is for.
            Opening("echo", (str(HostPort.ECHO.value),), None),
        )
    return (
        *managed,
        Opening("node exporter", (str(HostPort.NODE_EXPORTER.value),), control),
        Opening("Prometheus", (str(NodePort.WORKER_PROMETHEUS.value),), control),
        Opening("agent", (str(NodePort.AGENT.value),), (*operators, *control)),
        Opening("chutes", tuple(_chute_ports()), None, ("tcp", "udp")),
    )


def ruleset(role: HostRole, firewall: FirewallSpec, ssh_port: int) -> str:
    """A file for `nft -f`: replaces our table in one transaction."""
    lines = [line for opening in openings(role, firewall, ssh_port) for line in _rules(opening)]
    body = "\n".join(f"        {line}" for line in lines)
    interfaces = ", ".join(f'"{name}"' for name in _POD_INTERFACES)
    return f"""\
# Written by headframe from the port map; changes are put right by the next `pulumi up`.
table {TABLE} {{}}
delete table {TABLE}
table {TABLE} {{
    chain reach {{
        type filter hook prerouting priority mangle; policy accept;
        iifname {{ {interfaces} }} accept
        ct state established,related accept
        fib daddr type != local accept
        meta l4proto {{ icmp, ipv6-icmp }} accept
        udp sport 67 udp dport 68 accept
{body}
        drop
    }}
}}
"""


def _rules(opening: Opening) -> Iterator[str]:
    ports = ", ".join(opening.ports)
    if opening.networks is None:
        for protocol in opening.protocols:
            yield f'{protocol} dport {{ {ports} }} accept comment "{opening.what}"'
    elif opening.networks:
        sources = ", ".join(_merged(opening.networks))
        for protocol in opening.protocols:
            yield f'ip saddr {{ {sources} }} {protocol} dport {{ {ports} }} accept comment "{opening.what}"'


def _merged(networks: Sequence[IPv4Network]) -> list[str]:
    """nft refuses overlapping intervals in one set."""
    return [str(network) for network in collapse_addresses(networks)]


def _chute_ports() -> Iterator[str]:
    """The node port range without the ports that are not for the world."""
    reserved = sorted({NodePort.WORKER_PROMETHEUS.value, NodePort.REGISTRY_PROXY.value, NodePort.AGENT.value})
    first = NODE_PORT_FIRST
    for port in (*reserved, NODE_PORT_LAST + 1):
        if first <= port - 1:
            yield f"{first}-{port - 1}"
        first = port + 1
