"""The tracker: an hourly snapshot of all subnets, kept on a volume of the control host."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from pulumi import ResourceOptions

from infra.components.control_program import ControlProgramArgs
from infra.components.local_volume import LocalVolume, LocalVolumeArgs
from infra.components.network import Traffic, name_lookups, to_internet, to_networks
from infra.components.pod import Mount, Pod, Program
from infra.components.workload import Scheduled, ScheduledArgs
from infra.images.names import ImageName
from infra.settings.hosts import TRACKER_FOLDER
from infra.settings.tree import FleetSettings

NAME: Final = "tracker"
_DATA: Final = "/data"
#: The control host's node exporter reads every such file of the volume's folder.
_METRICS_FILE: Final = "tracker.prom"
#: Five minutes are ample for a snapshot of every subnet (spec: tracker 9).
_DEADLINE_SECONDS: Final = 300
_TLS_PORT: Final = 443


def tracker_job(args: ControlProgramArgs, settings: FleetSettings, opts: ResourceOptions) -> Scheduled:
    """CronJob `tracker`. It reaches the chain's endpoints and nothing else."""
    own = settings.tracker
    volume = LocalVolume(
        "tracker-data",
        LocalVolumeArgs(
            cluster=args.place.cluster,
            host=args.place.host,
            node_name=args.place.node_name,
            folder=TRACKER_FOLDER,
            storage_gib=own.storage_gib,
            protect=not settings.allowances.unprotected_data,
        ),
        opts,
    )
    program = Program(
        name=NAME,
        image=args.place.reference(ImageName.TRACKER),
        pull_policy=args.place.pull_policy,
        command=("python3", "-m", "tracker"),
        arguments=("snapshot",),
        memory_mib=own.memory_mib,
        environment={
            **({"TRACKER_METRICS_FILE": f"{_DATA}/{_METRICS_FILE}"} if settings.monitoring.enabled else {}),
            "TRACKER_NETWORK": own.network,
            "TRACKER_DIR": f"{_DATA}/snapshots",
            # The SDK keeps the chain's metadata: less to fetch every hour.
            "HOME": _DATA,
        },
        mounts=(
            Mount(
                path=_DATA,
                volume={"name": "data", "persistent_volume_claim": {"claim_name": volume.claim_name}},
                read_only=False,
            ),
        ),
    )
    port = urlsplit(own.network).port or _TLS_PORT
    egress = (name_lookups(), to_internet(port), *to_networks(settings.allowances.networks))
    return Scheduled(
        NAME,
        ScheduledArgs(
            place=args.place,
            pod=Pod(main=program, service_account=NAME, restart_policy="Never"),
            traffic=Traffic(egress=egress),
            schedule=own.schedule,
            deadline_seconds=_DEADLINE_SECONDS,
            after=[volume.claim],
        ),
        opts,
    )
