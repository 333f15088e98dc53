"""Rules over what was measured on a machine. None stands for what could not be observed, which is never judged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from policies.rules import catalogue
from policies.rules.declared import CONTROL_MINIMUM_CORES, CONTROL_MINIMUM_RAM_GIB, Allowances, Role
from policies.rules.model import Finding, Level

SUPPORTED_SYSTEM: Final = "ubuntu 22.04"
#: A fifth more than the model cache of 850 GiB that miners are advised to keep.
VAR_SNAP_MINIMUM_GIB: Final = 1020
#: A machine shows less than it was sold with: firmware and kernel keep some.
MEASURED_RATIO: Final = 0.95
_MIB_PER_GIB: Final = 1024
_NOT_ON_DISK: Final = frozenset({"tmpfs", "ramfs", "overlay", "nfs", "nfs4", "cifs", "fuse.sshfs", "ceph", "glusterfs"})
#: The oldest long-term kernel that supported Kubernetes versions are tested on.
_KERNEL_MINIMUM: Final = (4, 19)
#: From this version on the kubelet refuses cgroup v1 unless told otherwise.
_CGROUP_V2_ONLY: Final = (1, 35)


@dataclass(frozen=True, kw_only=True)
class ObservedHost:
    """Observations of one machine, beside the little of its declaration that they are held against."""

    name: str
    role: Role
    address: str | None = None
    #: It earns nothing, and must be able to be mended, changed and left whatever it breaks.
    drained: bool = False
    simulated_gpus: bool = False
    kubernetes_version: str | None = None
    os_id: str | None = None
    os_version: str | None = None
    kernel: str | None = None
    cgroup_version: int | None = None
    cores: int | None = None
    ram_mib: int | None = None
    gpu_memory_mib: tuple[int, ...] | None = None
    interface_addresses: tuple[str, ...] | None = None
    #: Source addresses that an echo on the control host saw, one a probe.
    egress_addresses: tuple[str, ...] | None = None
    var_snap_gib: int | None = None
    var_snap_filesystem: str | None = None
    #: Whether the mount comes back after a reboot.
    var_snap_persistent: bool | None = None


def check_host(host: ObservedHost, allowances: Allowances) -> Iterator[Finding]:
    """All rules over one observed machine; none over one that is drained."""
    if host.drained:
        return
    yield from supported_system(host, allowances.operating_systems)
    yield from kubernetes_fit(host)
    yield from ram_covers_vram(host)
    yield from storage_var_snap(host, allowances.var_snap_minimum_gib, anywhere=allowances.var_snap_anywhere)
    yield from egress_is_ingress(host)
    yield from address_on_interface(host)
    yield from control_host_size(host, small_allowed=allowances.small_control_host)


def supported_system(host: ObservedHost, also_allowed: tuple[str, ...] = ()) -> Iterator[Finding]:
    """Ubuntu 22.04, which validators' software is made for, or what the stack allows by name."""
    if host.os_id is None or host.os_version is None:
        return
    system = f"{host.os_id} {host.os_version}"
    if system != SUPPORTED_SYSTEM and system not in also_allowed:
        yield catalogue.OS_UBUNTU_2204.finding(
            host.name, f"it runs {system}", f"install {SUPPORTED_SYSTEM}, or add it to allowances.operating_systems"
        )


def kubernetes_fit(host: ObservedHost) -> Iterator[Finding]:
    """Kernel and cgroup version against the pinned Kubernetes version."""
    kernel = _version(host.kernel)
    if kernel and kernel < _KERNEL_MINIMUM:
        wanted = ".".join(str(part) for part in _KERNEL_MINIMUM)
        yield catalogue.KUBERNETES_FIT.finding(host.name, f"kernel {host.kernel}", f"install {wanted} or newer")
    kubernetes = _version(host.kubernetes_version)
    if host.cgroup_version == 1 and kubernetes and kubernetes >= _CGROUP_V2_ONLY:
        yield catalogue.KUBERNETES_FIT.finding(
            host.name,
            f"cgroup version 1 under Kubernetes {host.kubernetes_version}",
            "boot with systemd.unified_cgroup_hierarchy=1, or pin a version below 1.35",
        )


def ram_covers_vram(host: ObservedHost) -> Iterator[Finding]:
    """Measured RAM against the measured memory of all GPUs."""
    if host.simulated_gpus or host.ram_mib is None or not host.gpu_memory_mib:
        return
    vram_mib = sum(host.gpu_memory_mib)
    if host.ram_mib < vram_mib * MEASURED_RATIO:
        yield catalogue.GPU_RAM_COVERS_VRAM.finding(
            host.name,
            f"{host.ram_mib} MiB of RAM measured for {len(host.gpu_memory_mib)} GPUs with {vram_mib} MiB together",
            f"fit at least {-(-int(vram_mib * MEASURED_RATIO) // _MIB_PER_GIB)} GiB of RAM",
        )


def storage_var_snap(
    host: ObservedHost, minimum_gib: int | None = None, *, anywhere: bool = False
) -> Iterator[Finding]:
    """Size, kind and permanence of the file system under /var/snap. The control host needs no model cache."""
    if host.role is not Role.GPU:
        return
    rule = catalogue.STORAGE_VAR_SNAP
    wanted = VAR_SNAP_MINIMUM_GIB if minimum_gib is None else minimum_gib
    if host.var_snap_gib is not None and host.var_snap_gib < wanted:
        yield rule.finding(
            host.name, f"{host.var_snap_gib} GiB under /var/snap", f"bind a disk of at least {wanted} GiB there"
        )
    if host.var_snap_filesystem in _NOT_ON_DISK and not anywhere:
        yield rule.finding(host.name, f"/var/snap is on {host.var_snap_filesystem}", "bind a local disk there")
    if host.var_snap_persistent is False:
        yield rule.finding(host.name, "/var/snap is not mounted again after a reboot", "declare it under storage")


def egress_is_ingress(host: ObservedHost) -> Iterator[Finding]:
    """Every probe left by the declared address: validators compare the two."""
    others = sorted({address for address in host.egress_addresses or () if address != host.address})
    if others:
        yield catalogue.IP_EGRESS_IS_INGRESS.finding(
            host.name,
            f"it leaves by {', '.join(others)} and is reached at {host.address}",
            "route its traffic out by its own address",
        )


def address_on_interface(host: ObservedHost) -> Iterator[Finding]:
    """The declared address on an interface, or proven by probes that left through it."""
    if host.interface_addresses is None or host.address is None or host.address in host.interface_addresses:
        return
    if host.egress_addresses and set(host.egress_addresses) == {host.address}:
        return
    yield catalogue.IP_ON_INTERFACE.finding(
        host.name,
        f"{host.address} is on none of its interfaces ({', '.join(host.interface_addresses) or 'none'})",
        "make sure that the provider maps every port of it 1:1",
    )


def control_host_size(host: ObservedHost, *, small_allowed: bool = False) -> Iterator[Finding]:
    """Measured cores and RAM of the control host."""
    if host.role is not Role.CONTROL:
        return
    rule, level = catalogue.CONTROL_HOST_SIZE, Level.ADVISORY if small_allowed else None
    if host.cores is not None and host.cores < CONTROL_MINIMUM_CORES:
        yield rule.finding(host.name, f"{host.cores} cores measured", f"give it {CONTROL_MINIMUM_CORES}", level=level)
    wanted_mib = CONTROL_MINIMUM_RAM_GIB * _MIB_PER_GIB * MEASURED_RATIO
    if host.ram_mib is not None and host.ram_mib < wanted_mib:
        yield rule.finding(
            host.name, f"{host.ram_mib} MiB of RAM measured", f"give it {CONTROL_MINIMUM_RAM_GIB} GiB", level=level
        )


def _version(text: str | None) -> tuple[int, ...]:
    found = re.match(r"v?(\d+)\.(\d+)", text or "")
    return tuple(int(part) for part in found.groups()) if found else ()
