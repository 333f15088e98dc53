"""Settings of the control cluster's databases."""

from __future__ import annotations

from pydantic import Field

from infra.settings.base import Tree


class DatabaseSettings(Tree):
    """PostgreSQL and Redis of the control cluster. Raise a rotation to get a new password."""

    storage_gib: int = Field(default=50, ge=1, examples=[50])
    postgres_memory_mib: int = Field(default=2048, ge=256, examples=[2048])
    redis_memory_mib: int = Field(default=1024, ge=64, examples=[1024])
    postgres_password_rotation: int = Field(default=1, ge=1, examples=[1])
    redis_password_rotation: int = Field(default=1, ge=1, examples=[1])
    kubeconfigs_sealed: bool = Field(
        default=True,
        description="Off only where public programs read the same database: then all kubeconfigs in it are plain.",
        examples=[False],
    )
