"""Monitoring of a bare GPU node: node exporter, and a Prometheus that only the control host reads.

Debian's Prometheus is built without Kubernetes: it asks machine and agent. The public image asks chutes and GPUs too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as kubernetes

from app.protocol.labels import CHUTES_NAMESPACE, MONITORING_NAMESPACE
from app.protocol.ports import ClusterPort, HostPort, NodePort
from infra.components.network import Traffic, from_machines, name_lookups, to_machines, to_namespace
from infra.components.node_exporter import node_exporter
from infra.components.node_program import NodeProgramArgs
from infra.components.options import on_cluster
from infra.components.place import Place
from infra.components.prometheus import Prometheus, PrometheusArgs
from infra.components.rights import Rights, Rule, bind
from infra.dashboards.prometheus import node_files
from infra.images.names import ImageName
from infra.settings.tree import NodeState

#: Not the control host's: that one has no rights at all.
_ACCOUNT: Final = "node-prometheus"
_READING: Final = ("get", "list", "watch")
_PODS: Final = Rule(resources=("pods",), verbs=_READING)
#: For discovery, which needs a Prometheus that is built with Kubernetes.
_RIGHTS: Final = Rights(
    elsewhere=((CHUTES_NAMESPACE, (_PODS,)),),
    cluster_wide=(
        Rule(resources=("nodes",), verbs=_READING),
        # The kubelet asks for this before it shows its counters; `nodes/proxy` would let pods be entered.
        Rule(resources=("nodes/metrics",), verbs=("get",)),
    ),
)
#: NVIDIA's own default, which the GPU operator keeps.
_DCGM_PORT: Final = 9400


class NodeMonitoring(pulumi.ComponentResource):
    """Namespace `monitoring` of one node and what runs in it."""

    prometheus: Prometheus

    def __init__(self, name: str, args: NodeProgramArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headframe:infra:NodeMonitoring", name, {"nodeName": args.node.name}, opts)
        inside = pulumi.ResourceOptions(parent=self)
        place = monitoring_place(self, args.place)
        node_exporter(place, None, inside)
        seen = _Sight.of(args)
        title = f"{args.node.name}-prometheus"
        allowed = self._gpu_rights(title, args, seen.gpus) if seen.gpus is not None else []
        self.prometheus = Prometheus(title, _prometheus(args, place, seen, allowed), inside)
        self.register_outputs({})

    def _gpu_rights(self, name: str, args: NodeProgramArgs, gpus: str) -> list[pulumi.Resource]:
        place = args.place
        options = on_cluster(self, place.cluster.provider, place.host, depends_on=args.after)
        return bind(name, _ACCOUNT, Rights(elsewhere=((gpus, (_PODS,)),)), options, home=MONITORING_NAMESPACE)


@dataclass(frozen=True, kw_only=True)
class _Sight:
    """What this node's Prometheus can see: its image, and where the GPU runtime is if it sees that."""

    public_image: str | None
    gpus: str | None

    @classmethod
    def of(cls, args: NodeProgramArgs) -> _Sight:
        settings = args.settings
        image = settings.monitoring.public_prometheus_in(lab=settings.allowances.simulated_gpus)
        # A drained node's GPU runtime is gone, and its namespace with it.
        there = image is not None and args.node.state is not NodeState.DRAINED
        return cls(public_image=image, gpus=settings.gpu_runtime.namespace if there else None)

    @property
    def discovers(self) -> bool:
        return self.public_image is not None


def monitoring_place(parent: pulumi.Resource, place: Place) -> Place:
    """The machine's namespace for what watches it."""
    namespace = kubernetes.core.v1.Namespace(
        f"{place.node_name}-{MONITORING_NAMESPACE}",
        metadata={"name": MONITORING_NAMESPACE},
        opts=on_cluster(parent, place.cluster.provider, place.host),
    )
    return place.within(MONITORING_NAMESPACE, namespace)


def _prometheus(args: NodeProgramArgs, place: Place, seen: _Sight, allowed: list[pulumi.Resource]) -> PrometheusArgs:
    own = args.settings.monitoring
    return PrometheusArgs(
        place=place,
        public_image=seen.public_image,
        account=_ACCOUNT,
        files=node_files(args.node.name, discovers=seen.discovers, gpu_namespace=seen.gpus),
        memory_mib=own.node_memory_mib,
        retention=f"{own.node_retention_hours}h",
        storage_gib=own.node_storage_gib,
        data={"name": "data", "empty_dir": {"size_limit": f"{own.node_storage_gib}Gi"}},
        traffic=_traffic(args.settings.control.address, seen),
        rights=_RIGHTS if seen.discovers else Rights(),
        node_port=NodePort.WORKER_PROMETHEUS,
        after=[*place.builds(ImageName.PROMETHEUS), *allowed],
    )


def _traffic(control: str, seen: _Sight) -> Traffic:
    asked = (HostPort.KUBERNETES_API, HostPort.KUBELET) if seen.discovers else ()
    egress = [
        name_lookups(),
        # The agent, and chutes on the port of their runtime.
        to_namespace(CHUTES_NAMESPACE, ClusterPort.HTTP),
        to_machines(HostPort.NODE_EXPORTER, *asked),
    ]
    if seen.gpus is not None:
        egress.append(to_namespace(seen.gpus, _DCGM_PORT))
    return Traffic(ingress=(from_machines([control], ClusterPort.PROMETHEUS),), egress=tuple(egress))
