"""The files that k3s reads, as text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import yaml

from infra.hosts.paths import K3S
from infra.spec import HostFacts, K3sSpec, RegistryCredential

_UNIT: Final = f"""\
# Written by headframe; changes are put right by the next `pulumi up`.
[Unit]
Description=Lightweight Kubernetes
Wants=network-online.target
After=network-online.target
@MOUNTS@
[Service]
Type=notify
EnvironmentFile=-/etc/default/k3s
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart={K3S} server

[Install]
WantedBy=multi-user.target
"""


def unit(mounts: Sequence[str] = ()) -> str:
    """The systemd unit. Without the disk that it keeps data on it does not start: pods would begin anew on an empty
    folder, and fill the disk of the system."""
    lines = [f"RequiresMountsFor={target}\n" for target in mounts]
    return _UNIT.replace("@MOUNTS@\n", f"{''.join(lines)}\n")


def node_ip(wanted: K3sSpec, public_address: str, facts: HostFacts) -> str | None:
    """Address of the node on its own interfaces: the public one where the machine has it, else that of its default
    route (spec: infra 4.2.2, intent; upstream's B-06 and B-46)."""
    if wanted.node_ip is not None:
        return str(wanted.node_ip)
    if public_address in facts.addresses:
        return public_address
    return facts.route_address or next(iter(facts.addresses), None)


def config(node: str, wanted: K3sSpec, public_address: str, address: str | None) -> str:
    """/etc/rancher/k3s/config.yaml. The admin kubeconfig is readable by root alone (spec: infra 6.7)."""
    settings: dict[str, Any] = {
        "node-name": node,
        "write-kubeconfig-mode": "0600",
        "disable": ["traefik", "servicelb"],
        "tls-san": sorted({public_address, *wanted.tls_sans}),
    }
    if address is not None:
        settings["node-ip"] = address
    if _is_address(public_address):
        settings["node-external-ip"] = public_address
        if public_address == address:
            settings["advertise-address"] = public_address
    if wanted.node_labels:
        settings["node-label"] = [f"{key}={value}" for key, value in sorted(wanted.node_labels.items())]
    return yaml.safe_dump(settings, sort_keys=False)


def registries(wanted: K3sSpec, credentials: Sequence[RegistryCredential]) -> str:
    """/etc/rancher/k3s/registries.yaml, or "" where no registry is named."""
    mirrors = {item.name: {"endpoint": list(item.endpoints)} for item in wanted.registries if item.endpoints}
    configs: dict[str, dict[str, Any]] = {}
    for item in wanted.registries:
        if item.insecure:
            configs.setdefault(item.name, {})["tls"] = {"insecure_skip_verify": True}
    for login in credentials:
        configs.setdefault(login.registry, {})["auth"] = {
            "username": login.username,
            "password": login.password.get_secret_value(),
        }
    parts = {"mirrors": mirrors, "configs": configs}
    filled = {key: value for key, value in parts.items() if value}
    return yaml.safe_dump(filled, sort_keys=True) if filled else ""


def _is_address(host: str) -> bool:
    return host.replace(".", "").isdigit()
