"""From settings to `HostDeclaration`: everything about a machine that is known before anything runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from app.protocol.labels import EXTERNAL_IP, WORKER
from app.protocol.ports import HostPort, NodePort
from app.protocol.registry_proxy import loopback_endpoint, proxy_host
from infra.settings.tree import BareGpuNode, ControlSettings, FleetSettings, NodeState
from infra.spec import (
    BaseSpec,
    BinarySource,
    EchoSpec,
    FileSpec,
    FirewallSpec,
    HostDeclaration,
    HostRole,
    HostState,
    JudgedBy,
    K3sSpec,
    KernelSpec,
    LeaseSpec,
    NvidiaSpec,
    OnDelete,
    Registry,
    TimeSpec,
)

#: Data folders of the control cluster's databases, on the large disk.
DATA_FOLDER: Final = "/var/snap/headframe"
TRACKER_FOLDER: Final = f"{DATA_FOLDER}/tracker"
PROMETHEUS_FOLDER: Final = f"{DATA_FOLDER}/prometheus"
_SYSCTL: Final = {
    "net.bridge.bridge-nf-call-ip6tables": "1",
    "net.bridge.bridge-nf-call-iptables": "1",
    "net.ipv4.ip_forward": "1",
}
_MODULES: Final = ("br_netfilter", "overlay")
_OPEN_FILES: Final = 1048576


def control_host(settings: FleetSettings) -> HostDeclaration:
    """The control host: its databases' folders exist before a pod wants them."""
    control = settings.control
    files = tuple(
        FileSpec(
            path=f"{DATA_FOLDER}/{name}/README",
            content=f"Data of the fleet's {name}. Deleting this folder deletes that data.\n",
            # As a kubelet leaves what it finds in the volume of a pod with a group of its own (fsGroup): else the first
            # run after the pod's start would name a drift and repair it.
            mode="664",
            any_group=True,
        )
        for name in _kept(settings)
    )
    return _declaration(settings, control, HostRole.CONTROL, files=files)


def _kept(settings: FleetSettings) -> Iterator[str]:
    """What has a data folder on the control host."""
    yield from ("postgres", "redis")
    if settings.tracker.enabled:
        yield "tracker"
    if settings.monitoring.enabled:
        yield "prometheus"


def gpu_host(settings: FleetSettings, node: BareGpuNode) -> HostDeclaration:
    """A GPU machine. One that is drained or dead fails nobody's run; a dead one is not touched when it leaves."""
    runtime = settings.gpu_runtime
    nvidia = None
    if not node.simulated_gpus and runtime.driver_version and runtime.toolkit_version:
        nvidia = NvidiaSpec(
            driver_version=runtime.driver_version,
            toolkit_version=runtime.toolkit_version,
            fabric_manager=node.fabric_manager,
        )
    elif node.simulated_gpus:
        nvidia = NvidiaSpec(driver_version="0.0", toolkit_version="0.0.0", simulated=True)
    declared = _declaration(settings, node, HostRole.GPU)
    gone = node.state is NodeState.DEAD
    return declared.model_copy(
        update={
            "nvidia": nvidia,
            "state": HostState.ACTIVE if node.state is NodeState.ACTIVE else HostState.DRAINED,
            "on_delete": OnDelete.FORGET if gone else OnDelete.STOP,
        }
    )


def _declaration(
    settings: FleetSettings, node: ControlSettings | BareGpuNode, role: HostRole, files: tuple[FileSpec, ...] = ()
) -> HostDeclaration:
    machines = settings.machines
    kernel = KernelSpec(sysctl=_SYSCTL, modules=_MODULES, open_files=_OPEN_FILES, swap_off=True)
    return HostDeclaration(
        name=node.name,
        host=node.ssh.host or node.address,
        port=node.ssh.port,
        user=node.ssh.user,
        host_key=node.ssh.host_key,
        role=role,
        connect_timeout_seconds=node.ssh.connect_timeout_seconds,
        base=BaseSpec(
            packages=machines.packages,
            files=files,
            time=TimeSpec(timezone=machines.timezone, ntp_servers=machines.ntp_servers) if machines.time else None,
            unattended_upgrades_off=machines.unattended_upgrades_off,
        ),
        users=settings.access.users,
        kernel=kernel if machines.kernel else KernelSpec(),
        storage=node.storage,
        firewall=_firewall(settings, role) if machines.firewall else None,
        k3s=_k3s(settings, node, role),
        judged_by=JudgedBy(
            operating_systems=settings.allowances.operating_systems,
            small_control_host=settings.allowances.small_control_host,
            simulated_gpus=isinstance(node, BareGpuNode) and node.simulated_gpus,
            var_snap_minimum_gib=settings.allowances.var_snap_minimum_gib,
            var_snap_anywhere=settings.allowances.var_snap_anywhere,
        ),
        echo=EchoSpec(host=settings.control.address, port=HostPort.ECHO),
        lease=_lease(settings.control, settings.machines.drain_seconds),
    )


def _lease(control: ControlSettings, drain_seconds: int) -> LeaseSpec:
    """The control host keeps the lease that makes disruptive changes wait for each other (D16)."""
    ssh = control.ssh
    return LeaseSpec(
        host=ssh.host or control.address,
        port=ssh.port,
        user=ssh.user,
        host_key=ssh.host_key,
        drain_seconds=drain_seconds,
    )


def _k3s(settings: FleetSettings, node: ControlSettings | BareGpuNode, role: HostRole) -> K3sSpec:
    kubernetes = settings.kubernetes
    labels = {EXTERNAL_IP: node.address}
    if role is HostRole.GPU:
        labels[WORKER] = "true"
    return K3sSpec(
        version=kubernetes.version,
        source=BinarySource(url=kubernetes.source, sha256=kubernetes.sha256),
        node_labels=labels,
        tls_sans=(node.address,),
        external_ip=IPv4Address(node.address),
        registries=(*kubernetes.registries, *(_proxied(settings) if role is HostRole.GPU else ())),
        preloaded_images=kubernetes.preloaded_images,
    )


def _proxied(settings: FleetSettings) -> Iterator[Registry]:
    """Images of chutes come through the node's own proxy, whatever the public name of it resolves to."""
    for validator in settings.validators:
        name = f"{proxy_host(validator.hotkey)}:{int(NodePort.REGISTRY_PROXY)}"
        yield Registry(name=name, endpoints=(loopback_endpoint(),))


def _firewall(settings: FleetSettings, role: HostRole) -> FirewallSpec:
    """Only the rest of the fleet and its operators come in. Sorted, so that the order of nodes means nothing."""
    workers = sorted(node.address for node in settings.gpu_nodes)
    return FirewallSpec(
        operator_networks=settings.access.operator_networks,
        control_networks=() if role is HostRole.CONTROL else _networks([settings.control.address]),
        worker_networks=_networks(workers) if role is HostRole.CONTROL else (),
    )


def _networks(addresses: Iterable[str]) -> tuple[IPv4Network, ...]:
    return tuple(IPv4Network(address) for address in addresses)
