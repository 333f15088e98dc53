"""PostgreSQL and Redis of the control cluster: two servers, each a page of facts."""

from __future__ import annotations

from dataclasses import dataclass

from pulumi import ResourceOptions

from app.protocol.labels import POSTGRES_ACCESS, REDIS_ACCESS
from app.protocol.ports import ClusterPort
from infra.components.cluster import K3sCluster
from infra.components.stateful_server import StatefulServer, StatefulServerArgs
from infra.images.catalogue import POSTGRES
from infra.resources.host import Host
from infra.settings.databases import DatabaseSettings
from infra.settings.hosts import DATA_FOLDER

DATABASE_NAME = "chutes"
DATABASE_USER = "chutes"


@dataclass(frozen=True, kw_only=True)
class DatabasesArgs:
    """Where the databases run, and with which images."""

    cluster: K3sCluster
    host: Host
    node_name: str
    settings: DatabaseSettings
    postgres_image: str
    redis_image: str
    pull_policy: str
    protect: bool


def postgres(args: DatabasesArgs, opts: ResourceOptions) -> StatefulServer:
    """The fleet's PostgreSQL, reached as `postgres` in the fleet's namespace."""
    check = (f"{POSTGRES.environment['PGBIN']}/pg_isready", "-q", "-h", "127.0.0.1")
    return StatefulServer(
        "database",
        StatefulServerArgs(
            cluster=args.cluster,
            host=args.host,
            node_name=args.node_name,
            image=args.postgres_image,
            pull_policy=args.pull_policy,
            service="postgres",
            port=ClusterPort.POSTGRESQL,
            access_label=POSTGRES_ACCESS,
            environment={"DATABASE_NAME": DATABASE_NAME, "DATABASE_USER": DATABASE_USER},
            check=check,
            scratch=("/run/postgresql", "/tmp"),  # noqa: S108 in the container
            folder=f"{DATA_FOLDER}/postgres",
            storage_gib=args.settings.storage_gib,
            memory_mib=args.settings.postgres_memory_mib,
            password_rotation=args.settings.postgres_password_rotation,
            protect=args.protect,
        ),
        opts,
    )


def redis(args: DatabasesArgs, opts: ResourceOptions) -> StatefulServer:
    """The fleet's Redis, reached as `redis` in the fleet's namespace."""
    return StatefulServer(
        "redis",
        StatefulServerArgs(
            cluster=args.cluster,
            host=args.host,
            node_name=args.node_name,
            image=args.redis_image,
            pull_policy=args.pull_policy,
            service="redis",
            port=ClusterPort.REDIS,
            access_label=REDIS_ACCESS,
            environment={},
            check=("python3", "/opt/headframe/redis_server.py", "check"),
            scratch=("/tmp",),  # noqa: S108 in the container
            folder=f"{DATA_FOLDER}/redis",
            storage_gib=args.settings.storage_gib,
            memory_mib=args.settings.redis_memory_mib,
            password_rotation=args.settings.redis_password_rotation,
            protect=args.protect,
        ),
        opts,
    )
