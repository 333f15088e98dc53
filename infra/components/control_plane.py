"""The control host: its machine, its cluster and the databases on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from infra.components.backup import Backup, BackupArgs
from infra.components.cluster import K3sCluster, K3sClusterArgs
from infra.components.databases import DatabasesArgs, postgres, redis
from infra.components.declared import properties
from infra.components.images import ImageBuild
from infra.components.options import HOST_CREATE, child
from infra.components.stateful_server import StatefulServer
from infra.resources.host import Host, HostArgs, RegistryLogin
from infra.settings.hosts import control_host
from infra.settings.rules import declared_node
from infra.settings.tree import Delivery, FleetSettings


@dataclass(frozen=True, kw_only=True)
class ControlPlaneArgs:
    """Settings, secrets and images of the control host."""

    settings: FleetSettings
    private_key: pulumi.Input[str]
    registry_logins: Sequence[RegistryLogin]
    images: Mapping[str, ImageBuild]
    #: Needed where `settings.backup` is there.
    backup_private_key: pulumi.Input[str] | None = None


class ControlPlane(pulumi.ComponentResource):
    """The machine that everything else talks to."""

    host: Host
    cluster: K3sCluster
    postgres: StatefulServer
    redis: StatefulServer

    def __init__(self, name: str, args: ControlPlaneArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        settings = args.settings
        declared = declared_node(settings.control, settings.miner.hotkey_ss58)
        shown = properties(declared, settings.allowances)
        super().__init__("headframe:infra:ControlPlane", name, shown, opts)
        airgap = settings.images.delivery is Delivery.AIRGAP
        delivered = [args.images[key] for key in ("postgres", "redis")] if airgap else []
        self.host = Host(
            name,
            HostArgs(
                declared=control_host(settings),
                private_key=args.private_key,
                registry_logins=args.registry_logins,
                images=[build.archive_input() for build in delivered],
            ),
            child(self, depends_on=[build.build for build in delivered], timeout=HOST_CREATE),
        )
        inside = pulumi.ResourceOptions(parent=self)
        self.cluster = K3sCluster(f"{name}-cluster", K3sClusterArgs(node_name=name, host=self.host), inside)
        databases = DatabasesArgs(
            cluster=self.cluster,
            host=self.host,
            node_name=name,
            settings=settings.database,
            postgres_image=args.images["postgres"].reference,
            redis_image=args.images["redis"].reference,
            pull_policy="Never" if airgap else "IfNotPresent",
            protect=not settings.allowances.unprotected_data,
        )
        self.postgres = postgres(databases, inside)
        self.redis = redis(databases, inside)
        if settings.backup is not None and args.backup_private_key is not None:
            Backup(
                "backup",
                BackupArgs(
                    cluster=self.cluster,
                    host=self.host,
                    settings=settings.backup,
                    private_key=args.backup_private_key,
                    image=databases.postgres_image,
                    pull_policy=databases.pull_policy,
                    database=self.postgres,
                ),
                inside,
            )
        # Rules over the whole stack see outputs only.
        self.register_outputs(dict(shown))
