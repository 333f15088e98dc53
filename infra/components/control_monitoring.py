"""Monitoring of the fleet on the control host: Prometheus that asks every node, node exporter, Grafana if wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi

from app.protocol.labels import CHUTES_NAMESPACE, MONITORING_NAMESPACE
from app.protocol.ports import ClusterPort, HostPort, NodePort
from infra.components import audit_exporter
from infra.components.grafana import NAME as GRAFANA
from infra.components.grafana import Grafana, GrafanaArgs
from infra.components.local_volume import LocalVolume, LocalVolumeArgs
from infra.components.network import Traffic, from_pods, name_lookups, to_machines, to_namespace
from infra.components.node_exporter import node_exporter
from infra.components.node_monitoring import monitoring_place
from infra.components.options import on_cluster
from infra.components.place import Place
from infra.components.pod import NAME_LABEL, Mount
from infra.components.prometheus import Prometheus, PrometheusArgs, chutes_measured, config_map
from infra.components.rights import Rights, Rule, bind
from infra.dashboards.prometheus import NODES_FILE, NODES_FOLDER, control_files, federated_nodes
from infra.images.names import ImageName
from infra.settings.hosts import PROMETHEUS_FOLDER, TRACKER_FOLDER
from infra.settings.tree import FleetSettings, NodeState

_ACCOUNT: Final = "prometheus-server"
_NODES: Final = "prometheus-nodes"


@dataclass(frozen=True, kw_only=True)
class ControlMonitoringArgs:
    """`place` is the control cluster; `grafana_password` is needed where Grafana is declared."""

    settings: FleetSettings
    place: Place
    grafana_password: pulumi.Input[str] | None


class ControlMonitoring(pulumi.ComponentResource):
    """Namespace `monitoring` of the control cluster and what runs in it."""

    prometheus: Prometheus
    grafana: Grafana | None

    def __init__(self, name: str, args: ControlMonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headframe:infra:ControlMonitoring", name, {}, opts)
        settings = args.settings
        inside = pulumi.ResourceOptions(parent=self)
        place = monitoring_place(self, args.place)
        node_exporter(place, TRACKER_FOLDER if settings.tracker.enabled else None, inside)
        nodes = config_map(self, _NODES, place, _NODES, {NODES_FILE: federated_nodes(_addresses(settings))})
        self.prometheus = Prometheus("prometheus", self._prometheus(settings, place, nodes), inside)
        self._let_the_audit_see_its_age(place)
        wanted = settings.monitoring.grafana_in(lab=settings.allowances.simulated_gpus)
        self.grafana = None
        if wanted is not None and args.grafana_password is not None:
            given = GrafanaArgs(settings=wanted, place=place, password=args.grafana_password)
            self.grafana = Grafana(GRAFANA, given, inside)
        self.register_outputs({})

    def _prometheus(self, settings: FleetSettings, place: Place, nodes: pulumi.Resource) -> PrometheusArgs:
        own = settings.monitoring
        volume = LocalVolume(
            "prometheus-data",
            LocalVolumeArgs(
                cluster=place.cluster,
                host=place.host,
                node_name=place.node_name,
                folder=PROMETHEUS_FOLDER,
                storage_gib=own.storage_gib,
                protect=not settings.allowances.unprotected_data,
                namespace=place.namespace,
                after=[place.namespace_ready],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        return PrometheusArgs(
            place=place,
            public_image=own.public_prometheus_in(lab=settings.allowances.simulated_gpus),
            account=_ACCOUNT,
            files=control_files(),
            memory_mib=own.memory_mib,
            retention=f"{own.retention_days}d",
            storage_gib=own.storage_gib,
            data={"name": "data", "persistent_volume_claim": {"claim_name": volume.claim_name}},
            # No restart for a further node: Prometheus watches the file.
            mounts=(Mount(path=NODES_FOLDER, volume={"name": "nodes", "config_map": {"name": _NODES}}),),
            traffic=_TRAFFIC,
            after=[*place.builds(ImageName.PROMETHEUS), volume.claim, nodes],
        )

    def _let_the_audit_see_its_age(self, place: Place) -> None:
        """A report says how much of its hour this Prometheus can speak for (spec: protocol 16)."""
        rule = Rule(resources=("pods",), verbs=("get", "list"))
        options = on_cluster(self, place.cluster.provider, place.host, depends_on=[place.namespace_ready])
        bind(audit_exporter.NAME, audit_exporter.NAME, Rights(elsewhere=((place.namespace, (rule,)),)), options)


_TRAFFIC: Final = Traffic(
    ingress=(
        from_pods({NAME_LABEL: GRAFANA}, ClusterPort.PROMETHEUS),
        from_pods({NAME_LABEL: audit_exporter.NAME}, ClusterPort.PROMETHEUS, CHUTES_NAMESPACE),
    ),
    egress=(
        name_lookups(),
        to_namespace(CHUTES_NAMESPACE, ClusterPort.HTTP),
        to_machines(NodePort.WORKER_PROMETHEUS, HostPort.NODE_EXPORTER),
    ),
)


def _addresses(settings: FleetSettings) -> dict[str, str]:
    """Nodes that have a Prometheus: confidential ones bring their own; a dead one would be an alert for ever."""
    return {node.name: node.address for node in settings.gpu_nodes if node.state is not NodeState.DEAD}


def monitoring_output(settings: FleetSettings) -> dict[str, str]:
    """What the stack says of monitoring: where it is, and what is left out and why."""
    service = f"http://{_ACCOUNT}.{MONITORING_NAMESPACE}.svc:{int(ClusterPort.PROMETHEUS)}"
    return {"prometheus": service, "chutes": _chutes_output(settings), "grafana": _grafana_output(settings)}


def _chutes_output(settings: FleetSettings) -> str:
    if chutes_measured(settings):
        return "measured"
    without = "not measured, nor GPUs and kubelets: Debian's Prometheus is built without Kubernetes"
    if settings.allowances.simulated_gpus:
        return f"{without}, and a lab pulls no public image"
    return f"{without}; pulumi config set --path headframe:monitoring.prometheus_image IMAGE@sha256:DIGEST"


def _grafana_output(settings: FleetSettings) -> str:
    if settings.allowances.simulated_gpus:
        return "left out: a lab pulls no public image"
    if settings.monitoring.grafana is None:
        return "left out: pulumi config set --path headframe:monitoring.grafana.image IMAGE@sha256:DIGEST"
    return f"http://{settings.control.address}:{int(NodePort.GRAFANA)}"
