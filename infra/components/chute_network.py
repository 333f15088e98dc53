"""What the pods of chutes and jobs on a node may reach, and who may reach them (spec: infra 7.2.3)."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.networking.v1 import NetworkPolicySpecArgsDict

from app.protocol.labels import CHUTE, CHUTES_NAMESPACE, JOB
from app.protocol.ports import ChutePort
from infra.components.network import from_anywhere, name_lookups, to_internet, to_networks
from infra.components.node_program import NodeProgramArgs
from infra.components.options import on_cluster


def chute_network(args: NodeProgramArgs, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """Policies for chutes and for jobs. The GraVal service comes with one of its own."""
    permitted = to_networks(args.settings.allowances.networks)
    chutes: NetworkPolicySpecArgsDict = {
        "pod_selector": {
            "match_labels": {CHUTE: "true"},
            "match_expressions": [{"key": JOB, "operator": "NotIn", "values": ["true"]}],
        },
        "policy_types": ["Ingress", "Egress"],
        "ingress": [from_anywhere(*ChutePort)],
        "egress": [name_lookups(), to_internet(80, 443), *permitted],
    }
    jobs: NetworkPolicySpecArgsDict = {
        "pod_selector": {"match_labels": {CHUTE: "true", JOB: "true"}},
        "policy_types": ["Ingress", "Egress"],
        "ingress": [{}],
        "egress": [name_lookups(), to_internet(), *permitted],
    }
    place = args.place
    named = {"chutes": chutes, "chutes-job": jobs}
    assert opts.parent is not None, "policies belong to a node"  # noqa: S101
    return [
        kubernetes.networking.v1.NetworkPolicy(
            f"{args.node.name}-{name}",
            metadata={"name": f"{name}-network-policy", "namespace": CHUTES_NAMESPACE},
            spec=spec,
            opts=on_cluster(opts.parent, place.cluster.provider, place.host, depends_on=[place.cluster.namespace]),
        )
        for name, spec in named.items()
    ]
