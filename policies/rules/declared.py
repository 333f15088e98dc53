"""Rules over machines as they are declared: one at a time, and all together. Nothing here looks at a machine."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Final

from app.protocol.gpus import GPU_MODELS
from app.protocol.validators import plain_host
from policies.rules import catalogue
from policies.rules.model import Finding, Level

CONTROL_MINIMUM_CORES: Final = 4
CONTROL_MINIMUM_RAM_GIB: Final = 32
_MIB_PER_GIB: Final = 1024
_DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_RESERVED_NAMES: Final = frozenset({"localhost", "default", "kubernetes"})
#: Special-purpose networks that Python takes for global (IANA special-purpose registry).
_DENIED: Final = tuple(
    IPv4Network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24")
)


class Role(StrEnum):
    CONTROL = "control"
    GPU = "gpu"


@dataclass(frozen=True, kw_only=True)
class Allowances:
    """What a stack permits itself beyond production; empty in production."""

    networks: tuple[IPv4Network, ...] = ()
    simulated_gpus: bool = False
    small_control_host: bool = False
    #: `ID VERSION_ID` of /etc/os-release, besides `ubuntu 22.04`.
    operating_systems: tuple[str, ...] = ()
    #: Least space under /var/snap where production's figure makes no sense.
    var_snap_minimum_gib: int | None = None
    #: /var/snap may lie on an overlay, in memory or on the network.
    var_snap_anywhere: bool = False
    unprotected_data: bool = False


@dataclass(frozen=True, kw_only=True)
class DeclaredNode:
    """One machine as declared. None stands for what a preview cannot know yet, which is never judged."""

    name: str
    role: Role
    address: str | None = None
    gpu: str | None = None
    gpu_count: int | None = None
    ram_gib: int | None = None
    cores: int | None = None
    hotkey_ss58: str | None = None
    simulated_gpus: bool = False
    #: None: not known; empty: not pinned.
    host_key: str | None = None
    #: Confidential machines cannot be entered, so they have no host key.
    reached_by_ssh: bool = True
    #: Addresses of the validators' APIs and sockets, on the control host.
    validators: tuple[str, ...] = ()


def ram_covers_vram(node: DeclaredNode, *, minimum_ratio: float = 1.0) -> Iterator[Finding]:
    """RAM against the nominal memory of all GPUs. Simulated GPUs have no memory to cover."""
    if node.role is not Role.GPU or node.simulated_gpus or node.gpu is None or node.gpu_count is None:
        return
    model = GPU_MODELS.get(node.gpu)
    if model is None:
        known = ", ".join(GPU_MODELS)
        yield catalogue.GPU_RAM_COVERS_VRAM.finding(
            node.name, f"GPU model {node.gpu!r} is not known", f"name one of: {known}"
        )
        return
    vram_mib = node.gpu_count * model.memory_gb * _MIB_PER_GIB
    wanted_mib = int(vram_mib * minimum_ratio)
    if node.ram_gib is not None and node.ram_gib * _MIB_PER_GIB < wanted_mib:
        yield catalogue.GPU_RAM_COVERS_VRAM.finding(
            node.name,
            f"{node.ram_gib} GiB of RAM for {node.gpu_count} x {node.gpu} with {vram_mib // _MIB_PER_GIB} GiB together",
            f"fit at least {-(-wanted_mib // _MIB_PER_GIB)} GiB of RAM, or declare fewer GPUs",
        )


def ip_public(node: DeclaredNode, *, allowed: Iterable[IPv4Network] = ()) -> Iterator[Finding]:
    """A public unicast IPv4 address, or one of the networks that the stack allows."""
    if node.address is None:
        return
    try:
        address = IPv4Address(node.address)
    except AddressValueError:
        yield catalogue.IP_PUBLIC.finding(
            node.name, f"{node.address!r} is not an IPv4 address", "give the machine's public IPv4 address"
        )
        return
    if any(address in network for network in allowed):
        return
    if not address.is_global or address.is_multicast or any(address in network for network in _DENIED):
        yield catalogue.IP_PUBLIC.finding(
            node.name,
            f"{address} is not a public unicast address",
            "give the address under which validators reach the machine",
        )


def ip_unique(nodes: Iterable[DeclaredNode]) -> Iterator[Finding]:
    """No two machines share an address, however it is written."""
    owners: dict[IPv4Address, list[str]] = defaultdict(list)
    for node in nodes:
        try:
            owners[IPv4Address(node.address or "")].append(node.name)
        except AddressValueError:
            continue  # ip-public says so
    for address, names in owners.items():
        for name in names[1:]:
            yield catalogue.IP_UNIQUE.finding(
                name, f"{address} is also the address of {names[0]}", "give each machine an address of its own"
            )


def hotkey_single(nodes: Iterable[DeclaredNode]) -> Iterator[Finding]:
    """Exactly one hotkey, and every machine names it."""
    first: DeclaredNode | None = None
    for node in nodes:
        if node.hotkey_ss58 is None:
            continue
        if not node.hotkey_ss58:
            yield catalogue.HOTKEY_SINGLE.finding(node.name, "it names no hotkey", "set miner.hotkey_ss58")
        elif first is None:
            first = node
        elif node.hotkey_ss58 != first.hotkey_ss58:
            yield catalogue.HOTKEY_SINGLE.finding(
                node.name,
                f"it works for {node.hotkey_ss58}, {first.name} for {first.hotkey_ss58}",
                "run a stack of its own for each hotkey",
            )


def node_name(node: DeclaredNode) -> Iterator[Finding]:
    """A DNS label, and none of the names that mean something else."""
    if not _DNS_LABEL.fullmatch(node.name):
        yield catalogue.NODE_NAME.finding(
            node.name or "(empty)",
            "the name is not a DNS label",
            "use 1 to 63 lower-case letters, digits and inner dashes",
        )
    elif node.name in _RESERVED_NAMES:
        yield catalogue.NODE_NAME.finding(node.name, "the name is reserved", "choose another, for example gpu-7")


def ssh_host_key(node: DeclaredNode) -> Iterator[Finding]:
    """The host key is pinned before the first connection."""
    if node.reached_by_ssh and node.host_key == "":
        yield catalogue.SSH_HOST_KEY.finding(
            node.name, "its SSH host key is not pinned", f"take it from a safe place, or ssh-keyscan {node.address}"
        )


def control_host_size(node: DeclaredNode, *, small_allowed: bool = False) -> Iterator[Finding]:
    """Cores and RAM of the control host; only a warning where the stack allows a small one."""
    if node.role is not Role.CONTROL:
        return
    level = Level.ADVISORY if small_allowed else None
    if node.cores is not None and node.cores < CONTROL_MINIMUM_CORES:
        yield catalogue.CONTROL_HOST_SIZE.finding(
            node.name, f"{node.cores} cores", f"give it at least {CONTROL_MINIMUM_CORES}", level=level
        )
    if node.ram_gib is not None and node.ram_gib < CONTROL_MINIMUM_RAM_GIB:
        yield catalogue.CONTROL_HOST_SIZE.finding(
            node.name, f"{node.ram_gib} GiB of RAM", f"give it at least {CONTROL_MINIMUM_RAM_GIB} GiB", level=level
        )


def simulated_gpus(node: DeclaredNode, *, allowed: bool = False) -> Iterator[Finding]:
    """Nothing simulated passes as real."""
    if node.simulated_gpus and not allowed:
        yield catalogue.SIMULATED_GPUS.finding(
            node.name, "its GPUs are simulated", "remove simulated_gpus, or allow it in a stack for trials"
        )


def validator_tls(subject: str, address: str, *, allowed: Iterable[IPv4Network] = ()) -> Iterator[Finding]:
    """A validator's unsigned messages end deployments (spec: protocol 23.2, 13): TLS tells that they are its own."""
    host = plain_host(address)
    if host is None:
        return
    try:
        known = any(IPv4Address(host) in network for network in allowed)
    except AddressValueError:
        known = False
    if not known:
        yield catalogue.VALIDATOR_TLS.finding(
            subject,
            f"the validator's address {address} is not encrypted",
            "use wss:// for its socket and https:// for its API, or allow its network in a stack for trials",
        )


def check_node(node: DeclaredNode, allowances: Allowances) -> Iterator[Finding]:
    """All rules over one declared machine."""
    yield from node_name(node)
    yield from ip_public(node, allowed=allowances.networks)
    yield from ssh_host_key(node)
    yield from ram_covers_vram(node)
    yield from control_host_size(node, small_allowed=allowances.small_control_host)
    yield from simulated_gpus(node, allowed=allowances.simulated_gpus)
    for address in node.validators:
        yield from validator_tls(node.name, address, allowed=allowances.networks)


def check_fleet(nodes: Iterable[DeclaredNode]) -> Iterator[Finding]:
    """All rules over the declared machines together."""
    every = tuple(nodes)
    yield from ip_unique(every)
    yield from hotkey_single(every)
