"""One GPU node: of a bare one its machine, cluster and programs; of a confidential one only its registration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from app.protocol.ports import NodePort
from infra.components.cluster import K3sCluster, K3sClusterArgs
from infra.components.control_plane import ControlPlane
from infra.components.declared import properties
from infra.components.gpu_runtime import Chart, GpuRuntime, GpuRuntimeArgs
from infra.components.images import ImageBuild
from infra.components.miner import Miner
from infra.components.node_access import node_access
from infra.components.node_program import NodeProgramArgs
from infra.components.node_programs import NodePrograms
from infra.components.options import HOST_CREATE, REGISTRATION, child
from infra.components.place import Place, delivered
from infra.images.names import NodeRole
from infra.resources.host import Host, HostArgs, RegistryLogin
from infra.resources.registration import Registration, RegistrationArgs
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
    images: Mapping[str, ImageBuild]
    miner: Miner
    control: ControlPlane


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
            programs, known = self._declare_machine(name, args, node)
            self._register(name, args, [*programs.ready, *known], programs.registry_token_sha256)
        else:
            self._register(name, args, [], None)
        # Rules over the whole stack see outputs only.
        self.register_outputs(shown)

    def _declare_machine(
        self, name: str, args: GpuNodeArgs, node: BareGpuNode
    ) -> tuple[NodePrograms, Sequence[pulumi.Resource]]:
        settings = args.settings
        archives = delivered(NodeRole.GPU, settings, args.images)
        self.host = Host(
            name,
            HostArgs(
                declared=gpu_host(settings, node),
                private_key=args.private_key,
                registry_logins=args.registry_logins,
                images=[build.archive_input() for build in archives],
            ),
            child(self, depends_on=[build.build for build in archives], timeout=HOST_CREATE),
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
            gpus: list[pulumi.Resource] = [GpuRuntime(f"{name}-gpu-runtime", runtime, inside).release]
        else:
            gpus = []
        place = Place(
            cluster=self.cluster,
            host=self.host,
            node_name=name,
            address=node.address,
            images=args.images,
            delivery=settings.images.delivery,
        )
        given = NodeProgramArgs(place=place, miner=args.miner, node=node, settings=settings, after=gpus)
        programs = NodePrograms(f"{name}-programs", given, miner_api_address(settings), inside)
        return programs, node_access(name, self.cluster.kubeconfig, args.control, self)

    def _register(
        self, name: str, args: GpuNodeArgs, after: Sequence[pulumi.Resource], token: pulumi.Output[str] | None
    ) -> None:
        """A dead node is taken off the miner API's list; a drained one stays on it, and empty."""
        node = args.node
        if node.state is NodeState.DEAD:
            return
        Registration(
            f"{name}-registration",
            RegistrationArgs(
                node=name,
                kind=node.kind,
                miner_api=miner_api_address(args.settings),
                agent_api=f"http://{node.address}:{int(NodePort.AGENT)}",
                validator=args.miner.validators[0].hotkey,
                gpu=node.gpu,
                # The list says what the machine costs, the API takes what one of its GPUs does.
                hourly_cost_usd=round(node.hourly_cost_usd / node.gpu_count, 6),
                drained=node.state is NodeState.DRAINED,
                seed=args.miner.seed,
                registry_token_sha256=token,
            ),
            child(self, depends_on=[*after, *args.control.programs.ready], timeout=REGISTRATION),
        )


def miner_api_address(settings: FleetSettings) -> str:
    """The miner API as nodes and operators reach it."""
    return f"http://{settings.control.address}:{int(NodePort.MINER_API)}"


def _simulated(node: BareGpuNode) -> dict[str, str | int]:
    """What the lab's chart must know of this node. Real GPUs are found, not declared."""
    return {"model": node.gpu, "count": node.gpu_count} if node.simulated_gpus else {}
