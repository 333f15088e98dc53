"""One GPU node: of a bare one its machine, cluster and GPU runtime; of a confidential one only what it declares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from infra.components.cluster import K3sCluster, K3sClusterArgs
from infra.components.declared import properties
from infra.components.gpu_runtime import Chart, GpuRuntime, GpuRuntimeArgs
from infra.components.options import HOST_CREATE, child
from infra.resources.host import Host, HostArgs, RegistryLogin
from infra.settings.hosts import gpu_host
from infra.settings.rules import declared_node
from infra.settings.tree import BareGpuNode, FleetSettings, NodeState, TeeGpuNode


@dataclass(frozen=True, kw_only=True)
class GpuNodeArgs:
    """One entry of the list of GPU nodes, with what all of them share."""

    settings: FleetSettings
    node: BareGpuNode | TeeGpuNode
    private_key: pulumi.Input[str]
    registry_logins: Sequence[RegistryLogin]
    chart: Chart


class GpuNode(pulumi.ComponentResource):
    """Named like the node, so that its place in the list means nothing. `host` is None for a confidential node."""

    host: Host | None
    cluster: K3sCluster | None

    def __init__(self, name: str, args: GpuNodeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        node, settings = args.node, args.settings
        shown: dict[str, Any] = dict(properties(declared_node(node, settings.miner.hotkey_ss58), settings.allowances))
        shown = {**shown, "kind": node.kind, "state": node.state}
        super().__init__("headframe:infra:GpuNode", name, shown, opts)
        self.host, self.cluster = None, None
        if isinstance(node, BareGpuNode):
            self._declare_machine(name, args, node)
        # Rules over the whole stack see outputs only.
        self.register_outputs(shown)

    def _declare_machine(self, name: str, args: GpuNodeArgs, node: BareGpuNode) -> None:
        settings = args.settings
        self.host = Host(
            name,
            HostArgs(
                declared=gpu_host(settings, node),
                private_key=args.private_key,
                registry_logins=args.registry_logins,
            ),
            child(self, timeout=HOST_CREATE),
        )
        inside = pulumi.ResourceOptions(parent=self)
        self.cluster = K3sCluster(f"{name}-cluster", K3sClusterArgs(node_name=name, host=self.host), inside)
        # A drained node's workloads leave through its API. A dead one cannot be asked: they stay declared, and leave
        # with the machine.
        if node.state is not NodeState.DRAINED:
            runtime = GpuRuntimeArgs(
                cluster=self.cluster,
                host=self.host,
                chart=args.chart,
                namespace=settings.gpu_runtime.namespace,
                values={**settings.gpu_runtime.values, **_simulated(node)},
            )
            GpuRuntime(f"{name}-gpu-runtime", runtime, inside)


def _simulated(node: BareGpuNode) -> dict[str, str | int]:
    """What the lab's chart must know of this node. Real GPUs are found, not declared."""
    return {"model": node.gpu, "count": node.gpu_count} if node.simulated_gpus else {}
