"""One server with a password and a data folder on the control cluster: what PostgreSQL and Redis have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.apps.v1 import StatefulSetSpecArgsDict
from pulumi_kubernetes.core.v1 import ContainerArgsDict, ProbeArgsDict, VolumeArgsDict, VolumeMountArgsDict
from pulumi_kubernetes.meta.v1 import ObjectMetaArgsDict

from app.protocol.labels import CHUTES_NAMESPACE
from infra.components.cluster import K3sCluster
from infra.components.local_volume import LocalVolume, LocalVolumeArgs
from infra.components.options import child, on_cluster
from infra.images.recipe import USER_ID
from infra.resources.host import Host
from infra.resources.password import Password

_DATA = "/data"
_PASSWORD_FOLDER = "/run/headframe"  # noqa: S105 a path


@dataclass(frozen=True, kw_only=True)
class StatefulServerArgs:
    """What one server needs. Names in the cluster are those that clients of the public miner know."""

    cluster: K3sCluster
    host: Host
    node_name: str
    image: str
    pull_policy: str
    #: Name of Service and StatefulSet, and `<service>-secret` of the Secret.
    service: str
    port: int
    #: Pods with this label set to "true" may connect.
    access_label: str
    environment: Mapping[str, str]
    check: tuple[str, ...]
    #: Folders that the server writes besides its data.
    scratch: tuple[str, ...]
    folder: str
    storage_gib: int
    memory_mib: int
    password_rotation: int
    protect: bool


class StatefulServer(pulumi.ComponentResource):
    """StatefulSet with one pod, Service, Secret, NetworkPolicy, volume and password."""

    password: pulumi.Output[str]
    server: kubernetes.apps.v1.StatefulSet

    def __init__(self, name: str, args: StatefulServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headframe:infra:StatefulServer", name, {"service": args.service, "image": args.image}, opts)
        inside = pulumi.ResourceOptions(parent=self)
        volume = LocalVolume(f"{args.service}-data", _volume(args), inside)
        password = Password(f"{args.service}-password", rotation=args.password_rotation, opts=child(self))
        self.password = password.value
        provider, namespace = args.cluster.provider, args.cluster.namespace
        options = on_cluster(self, provider, args.host, depends_on=[namespace])
        metadata: ObjectMetaArgsDict = {"name": args.service, "namespace": CHUTES_NAMESPACE, "labels": labels(args)}
        secret = kubernetes.core.v1.Secret(
            f"{args.service}-secret",
            metadata={"name": f"{args.service}-secret", "namespace": CHUTES_NAMESPACE},
            string_data={f"{args.service}-password": password.value},
            opts=options,
        )
        service = kubernetes.core.v1.Service(
            args.service,
            # The pods that it would wait for come after it.
            metadata={**metadata, "annotations": {"pulumi.com/skipAwait": "true"}},
            spec={
                "selector": labels(args),
                "ports": [{"name": args.service, "port": args.port, "target_port": args.port}],
            },
            opts=options,
        )
        policy = _network_policy(args, options)
        self.server = kubernetes.apps.v1.StatefulSet(
            args.service,
            metadata=metadata,
            spec=_stateful_set(args, volume.claim_name),
            opts=on_cluster(self, provider, args.host, depends_on=[namespace, secret, service, policy, volume.claim]),
        )
        self.register_outputs({"service": args.service})


def labels(args: StatefulServerArgs) -> dict[str, str]:
    """Labels of the pods; the Service and the NetworkPolicy select by them."""
    return {"app.kubernetes.io/name": f"chutes-{args.service}"}


def _volume(args: StatefulServerArgs) -> LocalVolumeArgs:
    return LocalVolumeArgs(
        cluster=args.cluster,
        host=args.host,
        node_name=args.node_name,
        folder=args.folder,
        storage_gib=args.storage_gib,
        protect=args.protect,
    )


def _network_policy(
    args: StatefulServerArgs, options: pulumi.ResourceOptions
) -> kubernetes.networking.v1.NetworkPolicy:
    name = f"{args.service}-network-policy"
    return kubernetes.networking.v1.NetworkPolicy(
        name,
        metadata={"name": name, "namespace": CHUTES_NAMESPACE},
        spec={
            "pod_selector": {"match_labels": labels(args)},
            "policy_types": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from_": [{"pod_selector": {"match_labels": {args.access_label: "true"}}}],
                    "ports": [{"port": args.port, "protocol": "TCP"}],
                }
            ],
            "egress": [],
        },
        opts=options,
    )


def _stateful_set(args: StatefulServerArgs, claim: str) -> StatefulSetSpecArgsDict:
    volumes: list[VolumeArgsDict] = [
        {"name": "data", "persistent_volume_claim": {"claim_name": claim}},
        {"name": "password", "secret": {"secret_name": f"{args.service}-secret", "default_mode": 0o440}},
    ]
    volumes += [{"name": f"scratch-{index}", "empty_dir": {}} for index, _ in enumerate(args.scratch)]
    return {
        "service_name": args.service,
        "replicas": 1,
        "selector": {"match_labels": labels(args)},
        "template": {
            "metadata": {
                "labels": labels(args),
                # The server reads its password when it starts.
                "annotations": {"headframe/password-rotation": str(args.password_rotation)},
            },
            "spec": {
                "automount_service_account_token": False,
                "termination_grace_period_seconds": 60,
                "security_context": {
                    "run_as_non_root": True,
                    "run_as_user": USER_ID,
                    "run_as_group": USER_ID,
                    "fs_group": USER_ID,
                    # Once: servers refuse a data folder that others may write.
                    "fs_group_change_policy": "OnRootMismatch",
                    "seccomp_profile": {"type": "RuntimeDefault"},
                },
                "containers": [_container(args)],
                "volumes": volumes,
            },
        },
    }


def _container(args: StatefulServerArgs) -> ContainerArgsDict:
    environment = {"MEMORY_MIB": str(args.memory_mib), "PASSWORD_FILE": f"{_PASSWORD_FOLDER}/{args.service}-password"}
    mounts: list[VolumeMountArgsDict] = [
        {"name": "data", "mount_path": _DATA},
        {"name": "password", "mount_path": _PASSWORD_FOLDER, "read_only": True},
    ]
    mounts += [{"name": f"scratch-{index}", "mount_path": path} for index, path in enumerate(args.scratch)]
    return {
        "name": args.service,
        "image": args.image,
        "image_pull_policy": args.pull_policy,
        "env": [{"name": key, "value": value} for key, value in sorted({**args.environment, **environment}.items())],
        "ports": [{"name": args.service, "container_port": args.port}],
        "resources": {
            "requests": {"cpu": "100m", "memory": f"{args.memory_mib}Mi"},
            "limits": {"memory": f"{args.memory_mib}Mi"},
        },
        "security_context": {
            "allow_privilege_escalation": False,
            "capabilities": {"drop": ["ALL"]},
            "read_only_root_filesystem": True,
        },
        "startup_probe": _probe(args, period_seconds=2, failure_threshold=90),
        "readiness_probe": _probe(args, period_seconds=5, failure_threshold=2),
        "liveness_probe": _probe(args, period_seconds=20, failure_threshold=3),
        "volume_mounts": mounts,
    }


def _probe(args: StatefulServerArgs, *, period_seconds: int, failure_threshold: int) -> ProbeArgsDict:
    return {
        "exec_": {"command": list(args.check)},
        "period_seconds": period_seconds,
        "timeout_seconds": 5,
        "failure_threshold": failure_threshold,
    }
