"""The agent of a bare GPU node: tells the monitor what the node's cluster does. Public on its node port."""

from __future__ import annotations

from typing import Final

from pulumi import ResourceOptions

from app.protocol.ports import ClusterPort, NodePort
from infra.components.network import Traffic, from_anywhere, name_lookups, to_machines
from infra.components.node_program import NodeProgramArgs
from infra.components.pod import Health, Mount, Pod, Program
from infra.components.rights import Rights, Rule
from infra.components.workload import Workload, WorkloadArgs
from infra.images.names import ImageName

NAME: Final = "agent"
_STATE: Final = "/app/state"
_READING: Final = ("get", "list", "watch")
_RIGHTS: Final = Rights(
    rules=(
        Rule(resources=("pods", "services"), verbs=_READING),
        Rule(group="apps", resources=("deployments",), verbs=_READING),
        Rule(group="batch", resources=("jobs",), verbs=_READING),
    ),
    cluster_wide=(Rule(resources=("nodes",), verbs=_READING),),
)


def agent(args: NodeProgramArgs, opts: ResourceOptions) -> Workload:
    """Deployment `agent`. It is told where the monitor is; it forgets that with its pod, and is told again."""
    settings = args.settings.monitor
    program = Program(
        name=NAME,
        image=args.place.reference(ImageName.AGENT),
        pull_policy=args.place.pull_policy,
        command=("python3", "-m", "agent.watch"),
        memory_mib=settings.agent_memory_mib,
        environment={
            **args.miner.environment,
            "CLUSTER_NAME": args.node.name,
            "HEARTBEAT_INTERVAL": str(settings.heartbeat_seconds),
            "CONTROL_PLANE_URL_FILE": f"{_STATE}/control_plane_url",
        },
        secrets=args.miner.secrets,
        mounts=(Mount(path=_STATE, volume={"name": "state", "empty_dir": {}}, read_only=False),),
        port=ClusterPort.HTTP,
        health=Health(live="/monitor/health", ready="/ping"),
    )
    pod = Pod(main=program, service_account=NAME, uses_cluster=True, config=args.miner.config)
    return Workload(
        f"{args.node.name}-{NAME}",
        WorkloadArgs(
            place=args.place,
            pod=pod,
            traffic=Traffic(ingress=(from_anywhere(ClusterPort.HTTP),), egress=(name_lookups(), to_machines())),
            rights=_RIGHTS,
            node_port=NodePort.AGENT,
            # Two would report one cluster twice.
            one_at_a_time=True,
            after=args.after,
        ),
        opts,
    )
