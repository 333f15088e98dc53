"""The cluster's admin kubeconfig, made usable from outside: public address, one context named like the node (D4)."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra.api import FactBase
from pyinfra.api.host import Host

from infra.hosts.failures import OperationFailedError
from infra.hosts.paths import K3S_KUBECONFIG
from infra.spec import HostSpec
from infra.spec.kubeconfig import public_kubeconfig


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
    try:
        return public_kubeconfig(text, spec.name, spec.public_address) if text.strip() else None
    except ValueError as error:
        raise OperationFailedError(str(error), operation="k3s | kubeconfig") from error
