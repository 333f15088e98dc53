"""Dumps of PostgreSQL, taken by a CronJob and kept on another machine. The server's own image takes them, so that dump
and server are of one version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.core.v1 import ContainerArgsDict, PodTemplateSpecArgsDict

from app.protocol.labels import CHUTES_NAMESPACE, POSTGRES_ACCESS
from app.protocol.ports import ClusterPort
from infra.components.cluster import K3sCluster
from infra.components.databases import DATABASE_NAME, DATABASE_USER
from infra.components.options import on_cluster
from infra.images.catalogue import POSTGRES
from infra.images.recipe import USER_ID
from infra.resources.host import Host
from infra.settings.tree import BackupSettings

_NAME: Final = "postgres-backup"
_SECRETS: Final = "/run/headframe"
_SCRATCH: Final = "/tmp"  # noqa: S108 in the container
_LIMIT_SECONDS: Final = 3 * 3600


@dataclass(frozen=True, kw_only=True)
class BackupArgs:
    """Where dumps come from and where they go."""

    cluster: K3sCluster
    host: Host
    settings: BackupSettings
    private_key: pulumi.Input[str]
    image: str
    pull_policy: str
    #: The server, which must be there first.
    database: pulumi.Resource


class Backup(pulumi.ComponentResource):
    """CronJob, and a Secret with the key that enters the other machine."""

    def __init__(self, name: str, args: BackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        target = args.settings
        super().__init__("headframe:infra:Backup", name, {"target": target.host, "schedule": target.schedule}, opts)
        needs = [args.cluster.namespace, args.database]
        options = on_cluster(self, args.cluster.provider, args.host, depends_on=needs)
        secret = kubernetes.core.v1.Secret(
            f"{_NAME}-target",
            metadata={"name": f"{_NAME}-target", "namespace": CHUTES_NAMESPACE},
            string_data={"key": pulumi.Output.secret(args.private_key), "known_hosts": known_hosts(target)},
            opts=options,
        )
        kubernetes.batch.v1.CronJob(
            _NAME,
            metadata={"name": _NAME, "namespace": CHUTES_NAMESPACE},
            spec={
                "schedule": target.schedule,
                "concurrency_policy": "Forbid",
                "starting_deadline_seconds": 3600,
                "successful_jobs_history_limit": 3,
                "failed_jobs_history_limit": 3,
                "job_template": {
                    "spec": {
                        "backoff_limit": 2,
                        "active_deadline_seconds": _LIMIT_SECONDS,
                        "template": _template(args),
                    }
                },
            },
            opts=on_cluster(self, args.cluster.provider, args.host, depends_on=[*needs, secret]),
        )
        self.register_outputs({"target": target.host})


def known_hosts(target: BackupSettings) -> str:
    """The one line that says which key the target must show."""
    host = target.host if target.port == 22 else f"[{target.host}]:{target.port}"
    return f"{host} {target.host_key}\n"


def _template(args: BackupArgs) -> PodTemplateSpecArgsDict:
    return {
        "metadata": {"labels": {"app.kubernetes.io/name": _NAME, POSTGRES_ACCESS: "true"}},
        "spec": {
            "restart_policy": "Never",
            "automount_service_account_token": False,
            "security_context": {
                "run_as_non_root": True,
                "run_as_user": USER_ID,
                "run_as_group": USER_ID,
                "fs_group": USER_ID,
                "seccomp_profile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(args)],
            "volumes": [
                {"name": "scratch", "empty_dir": {"size_limit": f"{args.settings.scratch_gib}Gi"}},
                {"name": "password", "secret": {"secret_name": "postgres-secret", "default_mode": 0o440}},
                {"name": "target", "secret": {"secret_name": f"{_NAME}-target", "default_mode": 0o440}},
            ],
        },
    }


def _container(args: BackupArgs) -> ContainerArgsDict:
    target = args.settings
    environment = {
        "DATABASE_HOST": "postgres",
        "DATABASE_PORT": str(int(ClusterPort.POSTGRESQL)),
        "DATABASE_NAME": DATABASE_NAME,
        "DATABASE_USER": DATABASE_USER,
        "PASSWORD_FILE": f"{_SECRETS}/password/postgres-password",
        "PGBIN": POSTGRES.environment["PGBIN"],
        "TARGET_HOST": target.host,
        "TARGET_PORT": str(target.port),
        "TARGET_USER": target.user,
        "TARGET_FOLDER": target.folder,
        "KEY_FILE": f"{_SECRETS}/target/key",
        "KNOWN_HOSTS_FILE": f"{_SECRETS}/target/known_hosts",
        "KEEP": str(target.keep),
        "SCRATCH": _SCRATCH,
    }
    return {
        "name": "backup",
        "image": args.image,
        "image_pull_policy": args.pull_policy,
        "command": ["python3", "/opt/headframe/backup.py"],
        "env": [{"name": key, "value": value} for key, value in sorted(environment.items())],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "security_context": {
            "allow_privilege_escalation": False,
            "capabilities": {"drop": ["ALL"]},
            "read_only_root_filesystem": True,
        },
        "volume_mounts": [
            {"name": "scratch", "mount_path": _SCRATCH},
            {"name": "password", "mount_path": f"{_SECRETS}/password", "read_only": True},
            {"name": "target", "mount_path": f"{_SECRETS}/target", "read_only": True},
        ],
    }
