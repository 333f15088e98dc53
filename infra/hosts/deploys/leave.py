"""What happens to a machine that leaves the fleet."""

from __future__ import annotations

from typing import Final

from pyinfra.api.deploy import deploy

from infra.hosts import paths
from infra.hosts.operations import files, services
from infra.hosts.operations import leave as operations

#: Files that hold secrets of the fleet.
_SECRETS: Final = (paths.K3S_REGISTRIES, paths.K3S_KUBECONFIG)


@deploy("stop")
def stop() -> None:
    """Kubernetes and its pods end, our secrets go, data stays."""
    services.state(name="k3s is off", unit="k3s", running=False, enabled=False)
    operations.pods_ended(name="pods have ended")
    for path in _SECRETS:
        files.absent(name=f"no {path}", path=path, stamp="k3s")


@deploy("wipe")
def wipe() -> None:
    """Kubernetes goes with everything that it stored on the machine."""
    operations.removed(
        name="k3s and its data",
        roots=(paths.K3S_DATA, "/etc/rancher", "/run/k3s", "/var/lib/kubelet", paths.STATE),
        files=(paths.K3S_UNIT, paths.K3S, paths.K3S_FETCHED, "/usr/local/bin/kubectl", "/usr/local/bin/crictl"),
    )
