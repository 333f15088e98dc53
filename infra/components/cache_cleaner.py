"""Keeps a node's model cache within its limits, hourly, with the node's own limits where it has some.

It asks the node's API server which chutes run, and deletes nothing without an answer.
"""

from __future__ import annotations

from typing import Final

from pulumi import ResourceOptions

from app.protocol.model_cache import CACHE_FOLDER
from app.protocol.ports import HostPort
from infra.components.network import Traffic, to_machines
from infra.components.node_program import NodeProgramArgs
from infra.components.pod import Mount, Pod, Program
from infra.components.rights import Rights, Rule
from infra.components.workload import Scheduled, ScheduledArgs
from infra.images.names import ImageName
from infra.settings.model_cache import cleaner_environment

NAME: Final = "cache-cleaner"
#: The node's cache folder, as the cleaner sees it.
_CACHE: Final = "/cache"
_SCHEDULE: Final = "23 * * * *"
_MEMORY_MIB: Final = 256
_DEADLINE_SECONDS: Final = 1800
_RULES: Final = (Rule(resources=("pods",), verbs=("list",)),)


def cache_cleaner(args: NodeProgramArgs, opts: ResourceOptions) -> Scheduled:
    """CronJob `cache-cleaner`: root over the cache folder alone, and nothing to say to the cluster but one question."""
    program = Program(
        name=NAME,
        image=args.place.reference(ImageName.CACHE_CLEANER),
        pull_policy=args.place.pull_policy,
        command=("python3", "-m", "agent.cache"),
        memory_mib=_MEMORY_MIB,
        environment={
            "HF_HOME": _CACHE,
            "CIVITAI_HOME": f"{_CACHE}/civitai",
            **cleaner_environment(args.settings.model_cache, {args.node.name: args.node.model_cache}),
            "NODE_NAME": args.node.name,
            "CLEANUP_PROTECT_RUNNING": "true",
            # Running chutes hold GPUs for days: what they use is known by their pods, locks and times of use.
            "GPU_IDLE_SECONDS": "0",
        },
        mounts=(
            Mount(
                path=_CACHE,
                volume={"name": "cache", "host_path": {"path": CACHE_FOLDER, "type": "DirectoryOrCreate"}},
                read_only=False,
            ),
        ),
        owns_all_files=True,
    )
    return Scheduled(
        f"{args.node.name}-{NAME}",
        ScheduledArgs(
            place=args.place,
            pod=Pod(main=program, service_account=NAME, uses_cluster=True, restart_policy="Never"),
            traffic=Traffic(egress=(to_machines(HostPort.KUBERNETES_API),)),
            rights=Rights(rules=_RULES),
            schedule=_SCHEDULE,
            deadline_seconds=_DEADLINE_SECONDS,
            after=args.after,
        ),
        opts,
    )
