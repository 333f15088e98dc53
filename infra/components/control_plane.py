"""The control host: its machine, its cluster and the databases on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pulumi

from infra.components.backup import Backup, BackupArgs
from infra.components.cluster import K3sCluster, K3sClusterArgs
from infra.components.control_monitoring import ControlMonitoring, ControlMonitoringArgs
from infra.components.control_programs import ControlPrograms, ControlProgramsArgs
from infra.components.databases import DatabasesArgs, postgres, redis
from infra.components.declared import properties
from infra.components.images import ImageBuild
from infra.components.miner import Miner
from infra.components.options import HOST_CREATE, child
from infra.components.place import Place, delivered
from infra.components.stateful_server import StatefulServer
from infra.images.names import ImageName, NodeRole
from infra.resources.host import Host, HostArgs, RegistryLogin
from infra.settings.hosts import control_host
from infra.settings.rules import declared_node
from infra.settings.tree import FleetSettings


@dataclass(frozen=True, kw_only=True)
class ControlPlaneArgs:
    """Settings, secrets and images of the control host."""

    settings: FleetSettings
    private_key: pulumi.Input[str]
    registry_logins: Sequence[RegistryLogin]
    images: Mapping[str, ImageBuild]
    #: Needed where `settings.backup` is there.
    backup_private_key: pulumi.Input[str] | None = None
    miner: Miner
    #: The operator's gepetto.py, where the stack owns it.
    gepetto_code: str | None = None
    #: Needed where Grafana is declared.
    grafana_password: pulumi.Input[str] | None = None


class ControlPlane(pulumi.ComponentResource):
    """The machine that everything else talks to."""

    host: Host
    cluster: K3sCluster
    postgres: StatefulServer
    redis: StatefulServer
    place: Place
    programs: ControlPrograms

    def __init__(self, name: str, args: ControlPlaneArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        settings = args.settings
        addresses = tuple(address for entry in settings.validators for address in (entry.api, entry.socket))
        declared = declared_node(settings.control, settings.miner.hotkey_ss58)
        shown = properties(replace(declared, validators=addresses), settings.allowances)
        super().__init__("headframe:infra:ControlPlane", name, shown, opts)
        self.host = self._declare_host(name, args)
        inside = pulumi.ResourceOptions(parent=self)
        self.cluster = K3sCluster(f"{name}-cluster", K3sClusterArgs(node_name=name, host=self.host), inside)
        self.place = Place(
            cluster=self.cluster,
            host=self.host,
            node_name=name,
            address=settings.control.address,
            images=args.images,
            delivery=settings.images.delivery,
        )
        self._declare_databases(settings, inside)
        self.programs = self._declare_programs(name, args, inside)
        if settings.monitoring.enabled:
            watching = ControlMonitoringArgs(
                settings=settings, place=self.place, grafana_password=args.grafana_password
            )
            ControlMonitoring(f"{name}-monitoring", watching, inside)
        self._declare_backup(args, inside)
        # Rules over the whole stack see outputs only.
        self.register_outputs(dict(shown))

    def _declare_host(self, name: str, args: ControlPlaneArgs) -> Host:
        archives = delivered(NodeRole.CONTROL, args.settings, args.images)
        return Host(
            name,
            HostArgs(
                declared=control_host(args.settings),
                private_key=args.private_key,
                registry_logins=args.registry_logins,
                images=[build.archive_input() for build in archives],
            ),
            child(self, depends_on=[build.build for build in archives], timeout=HOST_CREATE),
        )

    def _declare_databases(self, settings: FleetSettings, inside: pulumi.ResourceOptions) -> None:
        place = self.place
        databases = DatabasesArgs(
            cluster=place.cluster,
            host=place.host,
            node_name=place.node_name,
            settings=settings.database,
            postgres_image=place.reference(ImageName.POSTGRES),
            redis_image=place.reference(ImageName.REDIS),
            pull_policy=place.pull_policy,
            protect=not settings.allowances.unprotected_data,
        )
        self.postgres = postgres(databases, inside)
        self.redis = redis(databases, inside)

    def _declare_programs(self, name: str, args: ControlPlaneArgs, inside: pulumi.ResourceOptions) -> ControlPrograms:
        programs = ControlProgramsArgs(
            settings=args.settings,
            miner=args.miner,
            place=self.place,
            postgres=self.postgres,
            redis=self.redis,
            gepetto_code=args.gepetto_code,
        )
        return ControlPrograms(f"{name}-programs", programs, inside)

    def _declare_backup(self, args: ControlPlaneArgs, inside: pulumi.ResourceOptions) -> None:
        if args.settings.backup is None or args.backup_private_key is None:
            return
        backup = BackupArgs(
            cluster=self.cluster,
            host=self.host,
            settings=args.settings.backup,
            private_key=args.backup_private_key,
            image=self.place.reference(ImageName.POSTGRES),
            pull_policy=self.place.pull_policy,
            database=self.postgres,
        )
        Backup("backup", backup, inside)
