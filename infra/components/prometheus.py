"""A Prometheus of ours: Deployment, configuration, account. `node_monitoring` and `control_monitoring` say which.

Names are the public chart's where others look for it: the audit exporter asks its service and its pod's age.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.core.v1 import VolumeArgsDict

from app.protocol.ports import ClusterPort
from infra.components.network import Traffic
from infra.components.options import on_cluster
from infra.components.place import Place
from infra.components.pod import Health, Mount, Pod, Program
from infra.components.rights import Rights
from infra.components.workload import Workload, WorkloadArgs
from infra.dashboards.prometheus import CONFIGURATION_FILE, CONFIGURATION_FOLDER
from infra.images.names import ImageName
from infra.settings.tree import FleetSettings

#: Of Deployment, Service and container.
NAME: Final = "prometheus-server"
#: Of its pods.
APP: Final = "prometheus"
_LABELS: Final = {"app.kubernetes.io/component": "server"}
_DATA: Final = "/data"
#: Of the volume; the rest is for what is written before the oldest block goes.
_USED_SHARE: Final = 0.8
_MIB_PER_GIB: Final = 1024
#: A long write-ahead log is read before it answers.
_START_SECONDS: Final = 600


@dataclass(frozen=True, kw_only=True)
class PrometheusArgs:
    """`files` are its configuration and rules by name; a change of them restarts it. `mounts` come beside the data."""

    place: Place
    #: In place of Debian's.
    public_image: str | None
    account: str
    files: Mapping[str, str]
    memory_mib: int
    #: As Prometheus writes it: 24h, 15d.
    retention: str
    storage_gib: int
    #: Where it keeps its series.
    data: VolumeArgsDict
    traffic: Traffic
    mounts: tuple[Mount, ...] = ()
    rights: Rights = field(default_factory=Rights)
    node_port: int | None = None
    after: Sequence[pulumi.Resource] = ()


class Prometheus(pulumi.ComponentResource):
    """`workload` is ready when it answers queries."""

    workload: Workload

    def __init__(self, name: str, args: PrometheusArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headframe:infra:Prometheus", name, {"retention": args.retention}, opts)
        files = config_map(self, f"{name}-configuration", args.place, "prometheus-configuration", args.files)
        self.workload = Workload(
            name,
            WorkloadArgs(
                place=args.place,
                pod=Pod(
                    main=_program(args),
                    found_as=APP,
                    labels=_LABELS,
                    service_account=args.account,
                    uses_cluster=args.rights != Rights(),
                    config=args.files,
                ),
                traffic=args.traffic,
                rights=args.rights,
                node_port=args.node_port,
                # Two cannot write one folder.
                one_at_a_time=True,
                after=[*args.after, files],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


def chutes_measured(settings: FleetSettings) -> bool:
    """Whether the control host's Prometheus is told of every chute.

    Confidential nodes bring a Prometheus that discovers pods; of bare ones only the public image does.
    """
    own = settings.monitoring
    public = own.public_prometheus_in(lab=settings.allowances.simulated_gpus)
    return own.enabled and (public is not None or not settings.bare_nodes)


def config_map(
    parent: pulumi.Resource, name: str, place: Place, title: str, files: Mapping[str, str]
) -> kubernetes.core.v1.ConfigMap:
    """Plain files of a program."""
    return kubernetes.core.v1.ConfigMap(
        name,
        metadata={"name": title, "namespace": place.namespace},
        data=dict(files),
        opts=on_cluster(parent, place.cluster.provider, place.host, depends_on=[place.namespace_ready]),
    )


def _program(args: PrometheusArgs) -> Program:
    size = int(args.storage_gib * _MIB_PER_GIB * _USED_SHARE)
    return Program(
        name=NAME,
        image=args.public_image or args.place.reference(ImageName.PROMETHEUS),
        # A public one is pinned by digest: what is there is right.
        pull_policy="IfNotPresent" if args.public_image else args.place.pull_policy,
        arguments=(
            f"--config.file={CONFIGURATION_FOLDER}/{CONFIGURATION_FILE}",
            # Not the folder itself: a machine's folder holds a README.
            f"--storage.tsdb.path={_DATA}/series",
            f"--storage.tsdb.retention.time={args.retention}",
            f"--storage.tsdb.retention.size={size}MB",
            f"--web.listen-address=:{int(ClusterPort.PROMETHEUS)}",
        ),
        memory_mib=args.memory_mib,
        mounts=(
            Mount(path=_DATA, volume=args.data, read_only=False),
            Mount(
                path=CONFIGURATION_FOLDER,
                volume={"name": "configuration", "config_map": {"name": "prometheus-configuration"}},
            ),
            *args.mounts,
        ),
        port=ClusterPort.PROMETHEUS,
        health=Health(live="/-/healthy", ready="/-/ready", start_seconds=_START_SECONDS),
    )
