"""Rules of NetworkPolicies by what they mean: name lookups, one kind of pod, the world, some networks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pulumi_kubernetes.networking.v1 import (
    NetworkPolicyEgressRuleArgsDict,
    NetworkPolicyIngressRuleArgsDict,
    NetworkPolicyPeerArgsDict,
    NetworkPolicyPortArgsDict,
)

#: k3s' own default; no setting changes it.
POD_NETWORK: Final = "10.42.0.0/16"
ANYWHERE: Final = "0.0.0.0/0"
#: What is nobody's on the internet: pods of strangers have no business there.
PRIVATE_NETWORKS: Final = ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What may come in and go out of a program's pods; nothing else does."""

    ingress: tuple[NetworkPolicyIngressRuleArgsDict, ...] = ()
    egress: tuple[NetworkPolicyEgressRuleArgsDict, ...] = ()


def from_anywhere(*ports: int) -> NetworkPolicyIngressRuleArgsDict:
    """From every address to these ports: what a node port serves."""
    return {"ports": [_tcp(port) for port in ports]}


def from_machines(addresses: Iterable[str], *ports: int) -> NetworkPolicyIngressRuleArgsDict:
    """From machines by their addresses, which a node port shows."""
    peers: list[NetworkPolicyPeerArgsDict] = [{"ip_block": {"cidr": f"{address}/32"}} for address in addresses]
    return {"from_": peers, "ports": [_tcp(port) for port in ports]}


def from_pods(labels: Mapping[str, str], port: int, namespace: str | None = None) -> NetworkPolicyIngressRuleArgsDict:
    """From pods of the same namespace, or of another one."""
    peer: NetworkPolicyPeerArgsDict = {"pod_selector": {"match_labels": dict(labels)}}
    if namespace is not None:
        peer = {**peer, "namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": namespace}}}
    return {"from_": [peer], "ports": [_tcp(port)]}


def name_lookups() -> NetworkPolicyEgressRuleArgsDict:
    """To any name server."""
    return {"ports": [{"port": 53, "protocol": "UDP"}, _tcp(53)]}


def to_pods(labels: Mapping[str, str], port: int) -> NetworkPolicyEgressRuleArgsDict:
    """To pods of the same namespace."""
    return {"to": [{"pod_selector": {"match_labels": dict(labels)}}], "ports": [_tcp(port)]}


def to_namespace(namespace: str, *ports: int) -> NetworkPolicyEgressRuleArgsDict:
    """To every pod of another namespace."""
    peer: NetworkPolicyPeerArgsDict = {
        "namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": namespace}}
    }
    return {"to": [peer], "ports": [_tcp(port) for port in ports]}


def to_machines(*ports: int) -> NetworkPolicyEgressRuleArgsDict:
    """To every address that is no pod's: validators, GPU nodes, API servers. Without ports: all of TCP."""
    peer: NetworkPolicyPeerArgsDict = {"ip_block": {"cidr": ANYWHERE, "except_": [POD_NETWORK]}}
    return {"to": [peer], "ports": [_tcp(port) for port in ports] or [{"protocol": "TCP"}]}


def to_internet(*ports: int) -> NetworkPolicyEgressRuleArgsDict:
    """To public addresses only. Without ports: all of TCP."""
    peer: NetworkPolicyPeerArgsDict = {"ip_block": {"cidr": ANYWHERE, "except_": list(PRIVATE_NETWORKS)}}
    return {"to": [peer], "ports": [_tcp(port) for port in ports] or [{"protocol": "TCP"}]}


def to_networks(networks: Iterable[object]) -> tuple[NetworkPolicyEgressRuleArgsDict, ...]:
    """All of TCP to these networks, which a stack permits itself by name; no rule for none."""
    peers: list[NetworkPolicyPeerArgsDict] = [{"ip_block": {"cidr": str(network)}} for network in networks]
    return ({"to": peers, "ports": [{"protocol": "TCP"}]},) if peers else ()


def _tcp(port: int) -> NetworkPolicyPortArgsDict:
    return {"port": int(port), "protocol": "TCP"}
