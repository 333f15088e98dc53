"""What runs on the control cluster beside the databases: miner API, monitor, Gepetto, tracker, audit exporter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from app.protocol.labels import NODES_NAMESPACE
from app.protocol.ports import NodePort
from infra.components.audit_exporter import audit_exporter
from infra.components.control_program import ControlProgramArgs
from infra.components.database_access import database_access
from infra.components.gepetto import Gepetto, GepettoArgs
from infra.components.miner import Miner, credentials
from infra.components.miner_api import GravalArgs, miner_api
from infra.components.monitor import monitor
from infra.components.options import on_cluster
from infra.components.place import Place
from infra.components.prometheus import chutes_measured
from infra.components.stateful_server import StatefulServer
from infra.components.tracker_job import tracker_job
from infra.images.names import ImageName
from infra.settings.model_cache import cleaner_environment
from infra.settings.tree import FleetSettings


@dataclass(frozen=True, kw_only=True)
class ControlProgramsArgs:
    """`gepetto_code` is the operator's file, where the stack owns it."""

    settings: FleetSettings
    miner: Miner
    place: Place
    postgres: StatefulServer
    redis: StatefulServer
    gepetto_code: str | None


class ControlPrograms(pulumi.ComponentResource):
    """`ready` is what registrations wait for. `nodes_namespace` takes the kubeconfigs of bare nodes (D17)."""

    ready: Sequence[pulumi.Resource]
    nodes_namespace: kubernetes.core.v1.Namespace

    def __init__(self, name: str, args: ControlProgramsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headframe:infra:ControlPrograms", name, {}, opts)
        settings, place = args.settings, args.place
        inside = pulumi.ResourceOptions(parent=self)
        self.nodes_namespace = kubernetes.core.v1.Namespace(
            NODES_NAMESPACE,
            metadata={"name": NODES_NAMESPACE},
            opts=on_cluster(self, place.cluster.provider, place.host),
        )
        given = self._given(args)
        graval = GravalArgs(
            image=place.reference(ImageName.GRAVAL_BOOTSTRAP), simulated=settings.allowances.simulated_gpus
        )
        api = miner_api(given, settings.api, graval, inside)
        watching = monitor(given, settings.monitor, inside)
        deciding = Gepetto("gepetto", _schema_first(given, api.deployment), _gepetto(args), inside)
        if settings.tracker.enabled:
            tracker_job(given, settings, inside)
        if settings.audit.enabled:
            audit_exporter(given, settings.audit, inside)
        self.ready = [api.deployment, watching.deployment, deciding.workload.deployment]
        self.register_outputs({})

    def _given(self, args: ControlProgramsArgs) -> ControlProgramArgs:
        place = args.place
        secret = credentials("miner-credentials", args.miner, place, self)
        passwords = (args.postgres.password, args.redis.password)
        database = database_access(place, passwords, args.settings.database, self)
        servers = [args.postgres.server, args.redis.server]
        return ControlProgramArgs(
            place=place,
            miner=args.miner,
            database=database,
            monitor_address=f"http://{place.address}:{int(NodePort.MONITOR_API)}",
            measured=args.settings.monitoring.enabled,
            chutes_measured=chutes_measured(args.settings),
            after=[secret, database.secret, self.nodes_namespace, *servers],
        )


def _schema_first(given: ControlProgramArgs, api: pulumi.Resource) -> ControlProgramArgs:
    """Gepetto starts where the API has made the tables."""
    return ControlProgramArgs(
        place=given.place,
        miner=given.miner,
        database=given.database,
        monitor_address=given.monitor_address,
        measured=given.measured,
        chutes_measured=given.chutes_measured,
        after=[*given.after, api],
    )


def _gepetto(args: ControlProgramsArgs) -> GepettoArgs:
    settings, place = args.settings, args.place
    limits = {node.name: node.model_cache for node in settings.gpu_nodes}
    return GepettoArgs(
        settings=settings.gepetto,
        code=args.gepetto_code,
        cache=cleaner_environment(settings.model_cache, limits),
        cleaner_image=place.reference(ImageName.CACHE_CLEANER),
    )
