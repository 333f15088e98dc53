"""The kubeconfig of a bare node on the control cluster, and who may read it: the miner API, this one Secret (D17)."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.rbac.v1 import RoleRefArgs, SubjectArgs

from app.protocol.labels import CHUTES_NAMESPACE, NODE_KUBECONFIG_KEY, NODES_NAMESPACE
from infra.components.control_plane import ControlPlane
from infra.components.miner_api import ACCOUNT
from infra.components.options import on_cluster
from infra.components.rights import GROUP, Rule


def node_access(
    node: str, kubeconfig: pulumi.Input[str], control: ControlPlane, parent: pulumi.Resource
) -> Sequence[pulumi.Resource]:
    """Secret, Role and binding. A Role for each node: one for all would change with every node that comes or goes."""
    place = control.place
    options = on_cluster(parent, place.cluster.provider, place.host, depends_on=[control.programs.nodes_namespace])
    title = f"{node}-kubeconfig"
    secret = kubernetes.core.v1.Secret(
        title,
        metadata={"name": node, "namespace": NODES_NAMESPACE},
        string_data={NODE_KUBECONFIG_KEY: kubeconfig},
        opts=options,
    )
    reading = Rule(resources=("secrets",), verbs=("get",), names=(node,))
    role = kubernetes.rbac.v1.Role(
        title, metadata={"name": title, "namespace": NODES_NAMESPACE}, rules=[reading.arguments()], opts=options
    )
    binding = kubernetes.rbac.v1.RoleBinding(
        title,
        metadata={"name": title, "namespace": NODES_NAMESPACE},
        role_ref=RoleRefArgs(api_group=GROUP, kind="Role", name=title),
        subjects=[SubjectArgs(kind="ServiceAccount", name=ACCOUNT, namespace=CHUTES_NAMESPACE)],
        opts=options,
    )
    return [secret, role, binding]
