"""The cluster's admin kubeconfig, made usable from outside: public address, one context named like the node (D4)."""

from __future__ import annotations

from collections.abc import Iterable

import yaml
from pyinfra.api import FactBase
from pyinfra.api.host import Host

from app.protocol.ports import HostPort
from infra.hosts.paths import K3S_KUBECONFIG
from infra.spec import HostSpec


class AdminKubeconfig(FactBase[str]):
    """The file as k3s wrote it, or "" where there is none."""

    default = str

    def command(self) -> str:
        return f"cat {K3S_KUBECONFIG} 2>/dev/null || true"

    def process(self, output: Iterable[str]) -> str:
        return "\n".join(output) + "\n"


def read_kubeconfig(host: Host, spec: HostSpec) -> str | None:
    """Kubeconfig for the rest of the fleet, or None while the machine has no cluster."""
    if spec.k3s is None:
        return None
    text = host.get_fact(AdminKubeconfig)
    return public_kubeconfig(text, spec.name, spec.public_address) if text.strip() else None


def public_kubeconfig(text: str, node: str, address: str) -> str:
    """The same credentials under the node's name, with the address that others can reach."""
    config = yaml.safe_load(text)
    cluster = config["clusters"][0]["cluster"]
    user = config["users"][0]["user"]
    named = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": node, "cluster": {**cluster, "server": f"https://{address}:{HostPort.KUBERNETES_API}"}}],
        "users": [{"name": node, "user": user}],
        "contexts": [{"name": node, "context": {"cluster": node, "user": node}}],
        "current-context": node,
    }
    return yaml.safe_dump(named, sort_keys=False)
