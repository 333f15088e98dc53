"""The monitor: what is known of the clusters. Agents reach it on its node port."""

from __future__ import annotations

from typing import Final

from pulumi import ResourceOptions

from app.protocol.ports import ClusterPort, NodePort
from infra.components.control_program import ControlProgramArgs
from infra.components.database_access import ADMITTED, POSTGRESQL, REDIS, TO_POSTGRES, TO_REDIS
from infra.components.network import Traffic, from_anywhere, name_lookups, to_machines
from infra.components.pod import Health, Pod, Program
from infra.components.workload import Workload, WorkloadArgs
from infra.images.names import ImageName
from infra.settings.programs import MonitorSettings

NAME: Final = "monitor"


def monitor(args: ControlProgramArgs, settings: MonitorSettings, opts: ResourceOptions) -> Workload:
    """Deployment `monitor`, reached at `http://ADDRESS:32001`."""
    program = Program(
        name=NAME,
        image=args.place.reference(ImageName.MONITOR),
        pull_policy=args.place.pull_policy,
        memory_mib=settings.memory_mib,
        environment={
            **args.miner.environment,
            **args.database.kubeconfigs,
            "MONITOR_API": args.monitor_address,
            "OBSERVATION_MODE": settings.observation,
            "HEARTBEAT_INTERVAL": str(settings.heartbeat_seconds),
        },
        secrets={**args.miner.secrets, **POSTGRESQL, **REDIS},
        port=ClusterPort.HTTP,
        health=Health(live="/ping", ready="/ready"),
    )
    pod = Pod(
        main=program,
        labels=ADMITTED,
        service_account=NAME,
        config={**args.miner.config, **args.database.config},
    )
    traffic = Traffic(
        ingress=(from_anywhere(ClusterPort.HTTP),),
        egress=(name_lookups(), TO_POSTGRES, TO_REDIS, to_machines()),
    )
    return Workload(
        NAME,
        WorkloadArgs(place=args.place, pod=pod, traffic=traffic, node_port=NodePort.MONITOR_API, after=args.after),
        opts,
    )
