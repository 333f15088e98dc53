"""What operators find on the control host: one kubeconfig with a context for each cluster, and tools to switch."""

from __future__ import annotations

from enum import StrEnum

from infra.spec.model import Model, NodeName, Secret


class HostScope(StrEnum):
    """How much of the machine a spec speaks of. `tools` leaves everything else on it alone."""

    MACHINE = "machine"
    TOOLS = "tools"


class ClusterAccess(Model):
    """The kubeconfig of one cluster, as its Host gave it out."""

    name: NodeName
    kubeconfig: Secret
