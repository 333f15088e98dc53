"""How programs of the control cluster reach PostgreSQL and Redis: one Secret with two addresses, and the way there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import pulumi
import pulumi_kubernetes as kubernetes

from app.protocol.labels import CHUTES_NAMESPACE, POSTGRES_ACCESS, REDIS_ACCESS
from app.protocol.ports import ClusterPort
from infra.components.databases import DATABASE_NAME, DATABASE_USER
from infra.components.network import to_pods
from infra.components.options import on_cluster
from infra.components.place import Place
from infra.components.pod import NAME_LABEL, SecretKey
from infra.settings.databases import DatabaseSettings

_SECRET: Final = "database-access"  # noqa: S105 a name

POSTGRESQL: Final[Mapping[str, SecretKey]] = {"POSTGRESQL": SecretKey(secret=_SECRET, key="postgresql")}
REDIS: Final[Mapping[str, SecretKey]] = {"REDIS_URL": SecretKey(secret=_SECRET, key="redis")}
#: Labels that the databases' own policies let in.
ADMITTED: Final[Mapping[str, str]] = {POSTGRES_ACCESS: "true", REDIS_ACCESS: "true"}
TO_POSTGRES: Final = to_pods({NAME_LABEL: "chutes-postgres"}, ClusterPort.POSTGRESQL)
TO_REDIS: Final = to_pods({NAME_LABEL: "chutes-redis"}, ClusterPort.REDIS)


@dataclass(frozen=True, kw_only=True)
class DatabaseAccess:
    """The Secret, and what restarts its readers when a password is rotated.

    `kubeconfigs` tells programs that read or write the servers' kubeconfigs how they are stored there.
    """

    secret: kubernetes.core.v1.Secret
    kubeconfigs: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)


def database_access(
    place: Place,
    passwords: tuple[pulumi.Output[str], pulumi.Output[str]],
    settings: DatabaseSettings,
    parent: pulumi.Resource,
) -> DatabaseAccess:
    """Passwords of PostgreSQL and Redis, in that order, as addresses. They are letters and digits: nothing to quote."""
    postgres, redis = passwords
    at = f"@postgres:{int(ClusterPort.POSTGRESQL)}/{DATABASE_NAME}"
    secret = kubernetes.core.v1.Secret(
        _SECRET,
        metadata={"name": _SECRET, "namespace": CHUTES_NAMESPACE},
        string_data={
            "postgresql": pulumi.Output.concat(f"postgresql+asyncpg://{DATABASE_USER}:", postgres, at),
            "redis": pulumi.Output.concat("redis://:", redis, f"@redis:{int(ClusterPort.REDIS)}/0"),
        },
        opts=on_cluster(parent, place.cluster.provider, place.host, depends_on=[place.cluster.namespace]),
    )
    rotations = {
        "postgres": str(settings.postgres_password_rotation),
        "redis": str(settings.redis_password_rotation),
    }
    kubeconfigs = {"KUBECONFIG_SEALED": str(settings.kubeconfigs_sealed).lower()}
    return DatabaseAccess(secret=secret, kubeconfigs=kubeconfigs, config=rotations)
