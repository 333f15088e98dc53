"""Kernel settings and the firewall (spec: infra 1.3, 4.1.4)."""

from __future__ import annotations

from ipaddress import IPv4Network

from pydantic import Field

from infra.spec.model import Model


class KernelSpec(Model):
    """Kernel and process limits of the machine."""

    sysctl: dict[str, str] = Field(default_factory=dict)
    modules: tuple[str, ...] = ()
    #: Soft and hard limit of open files for every login (spec: infra 4.3.1, step 16).
    open_files: int | None = Field(default=None, ge=1024)
    swap_off: bool = False


class EchoSpec(Model):
    """Where callers are told the address that they come from: served by the control host, asked by GPU machines."""

    host: str = Field(min_length=1, pattern=r"^[A-Za-z0-9.:-]+$")
    port: int = Field(ge=1, le=65535)


class FirewallSpec(Model):
    """Who reaches the machine's ports; which ports there are follows from the role and `app.protocol.ports`.

    The firewall is applied with a timed rollback that only a fresh SSH connection cancels.
    """

    #: Where operators come from: SSH, Kubernetes API, dashboards.
    operator_networks: tuple[IPv4Network, ...] = (IPv4Network("0.0.0.0/0"),)
    #: Addresses of the other machines of the fleet, by what they need from this one.
    control_networks: tuple[IPv4Network, ...] = ()
    worker_networks: tuple[IPv4Network, ...] = ()
    rollback_seconds: int = Field(default=60, ge=5, le=600)
