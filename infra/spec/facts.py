"""What was observed on a machine; rules and the operator's eyes work on this, never on declarations."""

from __future__ import annotations

from infra.spec.model import Model


class GpuFacts(Model):
    """One GPU as the driver reports it."""

    index: int
    name: str
    uuid: str
    memory_mib: int


class HostFacts(Model):
    """Observations of one run. A value of None was not observable, which never counts as zero."""

    machine_id: str | None = None
    hostname: str | None = None
    os_id: str | None = None
    os_version: str | None = None
    kernel: str | None = None
    architecture: str | None = None
    cgroup_version: int | None = None
    cores: int | None = None
    ram_mib: int | None = None
    swap_mib: int | None = None
    root_free_gib: int | None = None
    data_free_gib: int | None = None
    #: Size, type and permanence of the file system under /var/snap; before a declared bind mount, of its source.
    var_snap_gib: int | None = None
    var_snap_filesystem: str | None = None
    var_snap_persistent: bool | None = None
    #: Every address that the echo on the control host saw this machine come from, in three probes.
    egress_addresses: tuple[str, ...] = ()
    #: IPv4 addresses on the machine's own interfaces; those of pods and containers are left out.
    addresses: tuple[str, ...] = ()
    #: Source address of the default route.
    route_address: str | None = None
    k3s_version: str | None = None
    driver_version: str | None = None
    gpus: tuple[GpuFacts, ...] = ()
    pending_security_updates: int | None = None
    reboot_required: bool | None = None
