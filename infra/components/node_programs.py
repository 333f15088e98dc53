"""What runs on every bare GPU node: agent, registry proxy, cleaners, monitoring, network rules of chutes."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from infra.components.agent import agent
from infra.components.cache_cleaner import cache_cleaner
from infra.components.chute_network import chute_network
from infra.components.failed_chutes import failed_chutes
from infra.components.miner import credentials
from infra.components.node_monitoring import NodeMonitoring
from infra.components.node_program import NodeProgramArgs
from infra.components.registry_proxy import RegistryProxy


class NodePrograms(pulumi.ComponentResource):
    """`ready` is what a registration waits for; `registry_token_sha256` is what it tells of the proxy."""

    ready: Sequence[pulumi.Resource]
    registry_token_sha256: pulumi.Output[str]

    def __init__(
        self, name: str, args: NodeProgramArgs, miner_api: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("headframe:infra:NodePrograms", name, {"nodeName": args.node.name}, opts)
        inside = pulumi.ResourceOptions(parent=self)
        node = args.node.name
        secret = credentials(f"{node}-miner-credentials", args.miner, args.place, self)
        reporting = agent(_after(args, secret), inside)
        proxy = RegistryProxy(f"{node}-registry-proxy", args, miner_api, inside)
        policies = chute_network(args, inside)
        cache_cleaner(args, inside)
        failed_chutes(args, inside)
        if args.settings.monitoring.enabled:
            NodeMonitoring(f"{node}-monitoring", args, inside)
        self.registry_token_sha256 = proxy.token_sha256
        self.ready = [reporting.deployment, proxy.workload.deployment, *policies]
        self.register_outputs({})


def _after(args: NodeProgramArgs, secret: pulumi.Resource) -> NodeProgramArgs:
    return NodeProgramArgs(
        place=args.place, miner=args.miner, node=args.node, settings=args.settings, after=[*args.after, secret]
    )
