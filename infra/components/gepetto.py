"""Gepetto, the scheduler, and who owns its code: this stack, or the operator with kubectl (D15)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as kubernetes
import yaml

from app.protocol.labels import CHUTES_NAMESPACE, MONITORING_NAMESPACE
from app.protocol.ports import ClusterPort
from infra.components.control_program import ControlProgramArgs
from infra.components.database_access import ADMITTED, POSTGRESQL, REDIS, TO_POSTGRES, TO_REDIS
from infra.components.network import Traffic, from_pods, name_lookups, to_machines
from infra.components.options import on_cluster
from infra.components.pod import NAME_LABEL, Health, Mount, Pod, Program
from infra.components.prometheus import APP as PROMETHEUS
from infra.components.rights import Rights, Rule
from infra.components.workload import Workload, WorkloadArgs
from infra.images.names import ImageName
from infra.settings.programs import GepettoSettings, GepettoSource

NAME: Final = "gepetto"
#: Names that the documented kubectl flow uses.
CODE: Final = "gepetto-code"
CODE_FILE: Final = "gepetto.py"
_CONFIG: Final = "gepetto-config"
_CODE_FOLDER: Final = "/app/code"
#: It tells a fallback of the operator's file as an Event on its own Deployment.
_RIGHTS: Final = Rights(rules=(Rule(resources=("events",), verbs=("create",)),))
_CONFIG_FOLDER: Final = "/app/config"


@dataclass(frozen=True, kw_only=True)
class GepettoArgs:
    """`code` is the operator's file where the stack owns it; `cache` are the limits of all nodes' caches."""

    settings: GepettoSettings
    code: str | None
    cache: Mapping[str, str]
    cleaner_image: str


class Gepetto(pulumi.ComponentResource):
    """Deployment `gepetto` with its two ConfigMaps."""

    workload: Workload

    def __init__(
        self, name: str, args: ControlProgramArgs, own: GepettoArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("headframe:infra:Gepetto", name, {"source": own.settings.source.value}, opts)
        maps = [self._map(args, _CONFIG, "gepetto.yaml", yaml.safe_dump(own.settings.settings, sort_keys=True))]
        config = {**args.miner.config, **args.database.config, "settings": json.dumps(own.settings.settings)}
        if own.settings.source is GepettoSource.STACK and own.code is not None:
            maps.append(self._map(args, CODE, CODE_FILE, own.code))
            config["code"] = own.code
        pod = Pod(
            main=_program(args, own),
            labels=ADMITTED,
            service_account=NAME,
            uses_cluster=True,
            config=config,
            grace_seconds=60,
        )
        ingress = (
            (from_pods({NAME_LABEL: PROMETHEUS}, ClusterPort.HTTP, MONITORING_NAMESPACE),) if args.measured else ()
        )
        traffic = Traffic(ingress=ingress, egress=(name_lookups(), TO_POSTGRES, TO_REDIS, to_machines()))
        self.workload = Workload(
            name,
            WorkloadArgs(
                place=args.place,
                pod=pod,
                traffic=traffic,
                rights=_RIGHTS,
                service=args.measured,
                after=[*args.after, *maps],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})

    def _map(self, args: ControlProgramArgs, name: str, file: str, text: str) -> kubernetes.core.v1.ConfigMap:
        place = args.place
        options = on_cluster(self, place.cluster.provider, place.host, depends_on=[place.cluster.namespace])
        # A change of hands deletes no code, and takes over what kubectl made.
        options.retain_on_delete = name == CODE
        return kubernetes.core.v1.ConfigMap(
            name,
            metadata={
                "name": name,
                "namespace": CHUTES_NAMESPACE,
                "annotations": {"pulumi.com/patchForce": "true"},
            },
            data={file: text},
            opts=options,
        )


def _program(args: ControlProgramArgs, own: GepettoArgs) -> Program:
    return Program(
        name=NAME,
        image=args.place.reference(ImageName.GEPETTO),
        pull_policy=args.place.pull_policy,
        memory_mib=own.settings.memory_mib,
        environment={
            **args.miner.environment,
            **args.database.kubeconfigs,
            "GEPETTO_FILE": f"{_CODE_FOLDER}/{CODE_FILE}",
            "GEPETTO_CONFIG": f"{_CONFIG_FOLDER}/gepetto.yaml",
            "CHUTE_SHUTDOWN_TIME_SECONDS": str(own.settings.shutdown_seconds),
            **own.cache,
            "CACHE_CLEANER_IMAGE": own.cleaner_image,
            # Pinned by its inputs: what is there is right.
            "CACHE_CLEANER_PULL_POLICY": "IfNotPresent",
        },
        secrets={**args.miner.secrets, **POSTGRESQL, **REDIS},
        mounts=(
            Mount(path=_CONFIG_FOLDER, volume={"name": "config", "config_map": {"name": _CONFIG}}),
            # Optional: without it the built-in strategies decide.
            Mount(path=_CODE_FOLDER, volume={"name": "code", "config_map": {"name": CODE, "optional": True}}),
        ),
        port=ClusterPort.HTTP,
        # Not /ready: whether it decides depends on validators, whose outage must stop no update of ours.
        health=Health(live="/ping", ready="/ping"),
    )
