"""A volume in a folder of the machine itself, for data that must outlive pods and clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.core.v1 import NodeSelectorTermArgsDict, PersistentVolumeSpecArgsDict

from app.protocol.labels import CHUTES_NAMESPACE
from infra.components.cluster import K3sCluster
from infra.components.options import on_cluster
from infra.resources.host import Host


@dataclass(frozen=True, kw_only=True)
class LocalVolumeArgs:
    """`folder` exists on the machine: its Host made it."""

    cluster: K3sCluster
    host: Host
    node_name: str
    folder: str
    storage_gib: int
    protect: bool
    #: Of the claim; what makes another one than the fleet's is in `after`.
    namespace: str = CHUTES_NAMESPACE
    after: Sequence[pulumi.Resource] = ()


class LocalVolume(pulumi.ComponentResource):
    """A PersistentVolume bound to its claim by name. No storage class: nothing else can ever take it."""

    claim: kubernetes.core.v1.PersistentVolumeClaim
    claim_name: str

    def __init__(self, name: str, args: LocalVolumeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headframe:infra:LocalVolume", name, {"folder": args.folder}, opts)
        self.claim_name = name
        provider = args.cluster.provider
        volume = kubernetes.core.v1.PersistentVolume(
            name,
            metadata={"name": name},
            spec=_volume(name, args),
            opts=on_cluster(self, provider, args.host, protect=args.protect),
        )
        self.claim = kubernetes.core.v1.PersistentVolumeClaim(
            name,
            metadata={"name": name, "namespace": args.namespace},
            spec={
                "access_modes": ["ReadWriteOnce"],
                "storage_class_name": "",
                "volume_name": name,
                "resources": {"requests": {"storage": f"{args.storage_gib}Gi"}},
            },
            opts=on_cluster(
                self,
                provider,
                args.host,
                protect=args.protect,
                depends_on=[volume, args.cluster.namespace, *args.after],
            ),
        )
        self.register_outputs({"claimName": name})


def _volume(name: str, args: LocalVolumeArgs) -> PersistentVolumeSpecArgsDict:
    here: NodeSelectorTermArgsDict = {
        "match_expressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [args.node_name]}]
    }
    return {
        "capacity": {"storage": f"{args.storage_gib}Gi"},
        "access_modes": ["ReadWriteOnce"],
        "persistent_volume_reclaim_policy": "Retain",
        # No storage class: the server drops an empty one, and a plan would add it for ever.
        "volume_mode": "Filesystem",
        "local": {"path": args.folder},
        "claim_ref": {
            "api_version": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": args.namespace,
            "name": name,
        },
        "node_affinity": {"required": {"node_selector_terms": [here]}},
    }
