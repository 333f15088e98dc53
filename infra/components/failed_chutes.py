"""Removes what failed chutes leave on a node: pods and services whose job is over, once a minute."""

from __future__ import annotations

from typing import Final

from pulumi import ResourceOptions

from app.protocol.ports import HostPort
from infra.components.network import Traffic, to_machines
from infra.components.node_program import NodeProgramArgs
from infra.components.pod import Pod, Program
from infra.components.rights import Rights, Rule
from infra.components.workload import Scheduled, ScheduledArgs
from infra.images.names import ImageName

NAME: Final = "failed-chute-cleanup"
_MEMORY_MIB: Final = 256
_DEADLINE_SECONDS: Final = 60
_CLEANING: Final = ("get", "list", "delete")
_RULES: Final = (
    Rule(resources=("pods", "services"), verbs=_CLEANING),
    Rule(group="batch", resources=("jobs",), verbs=_CLEANING),
)


def failed_chutes(args: NodeProgramArgs, opts: ResourceOptions) -> Scheduled:
    """CronJob `failed-chute-cleanup`, from the agent's image."""
    program = Program(
        name=NAME,
        image=args.place.reference(ImageName.AGENT),
        pull_policy=args.place.pull_policy,
        command=("python3", "-m", "agent.cleanup"),
        memory_mib=_MEMORY_MIB,
    )
    return Scheduled(
        f"{args.node.name}-{NAME}",
        ScheduledArgs(
            place=args.place,
            pod=Pod(main=program, service_account=NAME, uses_cluster=True, restart_policy="Never"),
            traffic=Traffic(egress=(to_machines(HostPort.KUBERNETES_API),)),
            schedule="* * * * *",
            deadline_seconds=_DEADLINE_SECONDS,
            rights=Rights(rules=_RULES),
            after=args.after,
        ),
        opts,
    )
