"""The audit exporter: what ran in the last hour, committed on the chain and sent to the validators."""

from __future__ import annotations

from typing import Final

from pulumi import ResourceOptions

from app.protocol.labels import MONITORING_NAMESPACE, POSTGRES_ACCESS
from app.protocol.ports import ClusterPort
from infra.components.control_program import ControlProgramArgs
from infra.components.database_access import POSTGRESQL, TO_POSTGRES
from infra.components.network import Traffic, name_lookups, to_machines, to_namespace
from infra.components.pod import Pod, Program
from infra.components.workload import Scheduled, ScheduledArgs
from infra.images.names import ImageName
from infra.settings.programs import AuditSettings

NAME: Final = "audit-exporter"
#: Minute and deadline are the public exporter's (spec: protocol 16).
_SCHEDULE: Final = "1 * * * *"
_DEADLINE_SECONDS: Final = 300
_TO_PROMETHEUS: Final = to_namespace(MONITORING_NAMESPACE, ClusterPort.PROMETHEUS)


def audit_exporter(args: ControlProgramArgs, settings: AuditSettings, opts: ResourceOptions) -> Scheduled:
    """CronJob `audit-exporter`."""
    program = Program(
        name=NAME,
        image=args.place.reference(ImageName.AUDIT),
        pull_policy=args.place.pull_policy,
        command=("python3", "-m", "app.audit"),
        memory_mib=settings.memory_mib,
        environment={
            **args.miner.environment,
            "NETUID": str(args.miner.netuid),
            "SUBTENSOR_ADDRESS": settings.subtensor,
            "MONITORING_NAMESPACE": MONITORING_NAMESPACE,
            # Without: nothing listens there, so that one of ours that counts no chutes lets nothing false be reported.
            **({"PROMETHEUS_PORT": str(int(ClusterPort.PROMETHEUS))} if args.chutes_measured else {}),
            "HOME": "/tmp",  # noqa: S108 in the container
        },
        secrets={**args.miner.secrets, **POSTGRESQL},
    )
    return Scheduled(
        NAME,
        ScheduledArgs(
            place=args.place,
            pod=Pod(
                main=program,
                labels={POSTGRES_ACCESS: "true"},
                service_account=NAME,
                uses_cluster=True,
                restart_policy="Never",
                config={**args.miner.config, **args.database.config},
            ),
            traffic=Traffic(
                egress=(
                    name_lookups(),
                    TO_POSTGRES,
                    _TO_PROMETHEUS,
                    to_machines(),
                )
            ),
            schedule=_SCHEDULE,
            deadline_seconds=_DEADLINE_SECONDS,
            after=args.after,
        ),
        opts,
    )
