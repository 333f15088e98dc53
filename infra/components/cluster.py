"""A machine's own Kubernetes as the program sees it: an explicit provider and the fleet's namespace."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from app.protocol.labels import CHUTES_NAMESPACE
from infra.components.options import child, on_cluster
from infra.resources.host import Host


@dataclass(frozen=True, kw_only=True)
class K3sClusterArgs:
    """`node_name` is the cluster's identity for ever (D4)."""

    node_name: str
    host: Host


class K3sCluster(pulumi.ComponentResource):
    """One cluster.

    A renewed kubeconfig or a changed address must replace nothing, so the provider's identity is the node name, never
    what the kubeconfig says.
    """

    provider: kubernetes.Provider
    namespace: kubernetes.core.v1.Namespace
    kubeconfig: pulumi.Output[str]

    def __init__(self, name: str, args: K3sClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headframe:infra:K3sCluster", name, {"nodeName": args.node_name}, opts)
        self.kubeconfig = pulumi.Output.secret(args.host.kubeconfig)
        self.provider = kubernetes.Provider(
            name,
            kubeconfig=self.kubeconfig,
            cluster_identifier=args.node_name,
            skip_update_unreachable=True,
            enable_config_map_mutable=True,
            enable_secret_mutable=True,
            opts=child(self),
        )
        self.namespace = kubernetes.core.v1.Namespace(
            f"{name}-{CHUTES_NAMESPACE}",
            metadata={"name": CHUTES_NAMESPACE},
            opts=on_cluster(self, self.provider, args.host),
        )
        self.register_outputs({"kubeconfig": self.kubeconfig})
