"""The miner API: the schema is brought up to date before it starts; public on its node port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pulumi import Input, ResourceOptions

from app.protocol.labels import NODES_NAMESPACE
from app.protocol.ports import ClusterPort, NodePort
from infra.components.control_program import ControlProgramArgs
from infra.components.database_access import ADMITTED, POSTGRESQL, REDIS, TO_POSTGRES, TO_REDIS
from infra.components.network import Traffic, from_anywhere, name_lookups, to_machines
from infra.components.pod import Health, Pod, Program
from infra.components.workload import Workload, WorkloadArgs
from infra.images.names import ImageName
from infra.settings.programs import ApiSettings

NAME: Final = "api"
#: What may be read with it, a node's kubeconfig, is granted where that node is declared.
ACCOUNT: Final = "miner-api"
_MIGRATION_MIB: Final = 384


@dataclass(frozen=True, kw_only=True)
class GravalArgs:
    """What the API starts on bare nodes to prove their GPUs; `simulated` ones only where the stack allows them."""

    image: str
    simulated: bool


def miner_api(args: ControlProgramArgs, settings: ApiSettings, graval: GravalArgs, opts: ResourceOptions) -> Workload:
    """Deployment `api`, reached at `http://ADDRESS:32000`."""
    pod = Pod(
        main=_server(args, settings, graval),
        first=(_migration(args),),
        labels=ADMITTED,
        service_account=ACCOUNT,
        uses_cluster=True,
        config={**args.miner.config, **args.database.config},
    )
    traffic = Traffic(
        ingress=(from_anywhere(ClusterPort.HTTP),),
        egress=(name_lookups(), TO_POSTGRES, TO_REDIS, to_machines()),
    )
    return Workload(
        NAME,
        WorkloadArgs(
            place=args.place,
            pod=pod,
            traffic=traffic,
            node_port=NodePort.MINER_API,
            after=args.after,
        ),
        opts,
    )


def _migration(args: ControlProgramArgs) -> Program:
    return Program(
        name="migrate",
        image=args.place.reference(ImageName.MINER_API),
        pull_policy=args.place.pull_policy,
        command=("python3", "-m", "app.storage"),
        arguments=("migrate",),
        memory_mib=_MIGRATION_MIB,
        secrets=POSTGRESQL,
    )


def _server(args: ControlProgramArgs, settings: ApiSettings, graval: GravalArgs) -> Program:
    environment: dict[str, Input[str]] = {
        **args.miner.environment,
        **args.database.kubeconfigs,
        "MONITOR_API": args.monitor_address,
        "SIGNATURE_STAGE": settings.signature_stage,
        "KUBECONFIG_ENABLED": str(settings.hand_out_kubeconfigs).lower(),
        "NODE_KUBECONFIGS_NAMESPACE": NODES_NAMESPACE,
        "GRAVAL_BOOTSTRAP_IMAGE": graval.image,
        "GRAVAL_SIMULATED": str(graval.simulated).lower(),
    }
    return Program(
        name=NAME,
        image=args.place.reference(ImageName.MINER_API),
        pull_policy=args.place.pull_policy,
        arguments=("--workers", str(settings.workers)),
        memory_mib=settings.memory_mib,
        environment=environment,
        secrets={**args.miner.secrets, **POSTGRESQL, **REDIS},
        port=ClusterPort.HTTP,
        health=Health(live="/ping", ready="/ready"),
    )
