"""Tables of the public schema, column by column as the public programs expect them (spec: protocol 12).

Columns are never added here: what is ours alone stands in `additions`. Relations load only when asked for.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import ARRAY, BigInteger, Boolean, DateTime, Double, ForeignKey, Integer, String, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

TIMESTAMP: Final = DateTime(timezone=True)


class Base(DeclarativeBase):
    """Base of every table."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads a plain class attribute
        str: String,
        datetime: TIMESTAMP,
        dict[str, object]: JSONB,
        dict[str, str]: JSONB,
        list[str]: ARRAY(String),
        float: Double,
    }


class Server(Base):
    """One GPU node. `server_id` is the UID of its Kubernetes node; memory is in GiB, cost in USD per GPU and hour."""

    __tablename__ = "servers"

    server_id: Mapped[str] = mapped_column(primary_key=True)
    validator: Mapped[str]
    name: Mapped[str] = mapped_column(unique=True)
    ip_address: Mapped[str | None]
    agent_api: Mapped[str | None]
    verification_port: Mapped[int | None] = mapped_column(Integer)
    status: Mapped[str | None]
    created_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    labels: Mapped[dict[str, str]]
    seed: Mapped[int | None] = mapped_column(BigInteger)
    gpu_count: Mapped[int] = mapped_column(Integer)
    cpu_per_gpu: Mapped[int] = mapped_column(Integer, default=1)
    memory_per_gpu: Mapped[int] = mapped_column(Integer, default=1)
    hourly_cost: Mapped[float]
    locked: Mapped[bool | None] = mapped_column(Boolean, default=False)
    kubeconfig: Mapped[str | None] = mapped_column(Text, deferred=True)
    is_tee: Mapped[bool | None] = mapped_column(Boolean, default=False)

    gpus: Mapped[list[Gpu]] = relationship(back_populates="server", lazy="raise", passive_deletes=True)
    deployments: Mapped[list[Deployment]] = relationship(back_populates="server", lazy="raise", passive_deletes=True)


class Gpu(Base):
    """One GPU; `gpu_id` is the device's UUID as bare lower-case hex. A non-null `deployment_id` means allocated."""

    __tablename__ = "gpus"

    gpu_id: Mapped[str] = mapped_column(primary_key=True)
    validator: Mapped[str | None]
    server_id: Mapped[str] = mapped_column(ForeignKey("servers.server_id", ondelete="CASCADE"))
    deployment_id: Mapped[str | None] = mapped_column(ForeignKey("deployments.deployment_id", ondelete="SET NULL"))
    device_info: Mapped[dict[str, object]]
    model_short_ref: Mapped[str]
    verified: Mapped[bool | None] = mapped_column(Boolean, default=False)

    server: Mapped[Server] = relationship(back_populates="gpus", lazy="raise")
    deployment: Mapped[Deployment | None] = relationship(back_populates="gpus", lazy="raise")


class Chute(Base):
    """One chute at one version. A non-null `ban_reason`, which only the operator sets, blocks its scheduling."""

    __tablename__ = "chutes"

    chute_id: Mapped[str] = mapped_column(primary_key=True)
    validator: Mapped[str]
    name: Mapped[str | None]
    image: Mapped[str]
    code: Mapped[str] = mapped_column(deferred=True)
    filename: Mapped[str]
    ref_str: Mapped[str]
    version: Mapped[str]
    supported_gpus: Mapped[list[str]]
    gpu_count: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime | None] = mapped_column(server_default=func.now(), onupdate=func.now())
    ban_reason: Mapped[str | None]
    chutes_version: Mapped[str | None]
    preemptible: Mapped[bool | None] = mapped_column(Boolean, default=True)
    tee: Mapped[bool | None] = mapped_column(Boolean, default=False)

    deployments: Mapped[list[Deployment]] = relationship(back_populates="chute", lazy="raise", passive_deletes=True)


class Deployment(Base):
    """One running chute of ours; `stub` until its Service and Job exist. `instance_id` is the validator's."""

    __tablename__ = "deployments"

    deployment_id: Mapped[str] = mapped_column(primary_key=True)
    instance_id: Mapped[str | None]
    validator: Mapped[str]
    host: Mapped[str | None]
    port: Mapped[int | None] = mapped_column(Integer)
    chute_id: Mapped[str] = mapped_column(ForeignKey("chutes.chute_id", ondelete="CASCADE"))
    server_id: Mapped[str] = mapped_column(ForeignKey("servers.server_id", ondelete="CASCADE"))
    version: Mapped[str]
    active: Mapped[bool | None] = mapped_column(Boolean, default=False)
    verified_at: Mapped[datetime | None]
    activated_at: Mapped[datetime | None]
    stub: Mapped[bool | None] = mapped_column(Boolean, default=False)
    job_id: Mapped[str | None]
    config_id: Mapped[str | None]
    created_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    preemptible: Mapped[bool | None] = mapped_column(Boolean, default=True)

    gpus: Mapped[list[Gpu]] = relationship(back_populates="deployment", lazy="raise", passive_deletes=True)
    chute: Mapped[Chute] = relationship(back_populates="deployments", lazy="raise")
    server: Mapped[Server] = relationship(back_populates="deployments", lazy="raise")


class DeploymentAudit(Base):
    """What ran when, written by triggers on `deployments`, uploaded hourly. Times are naive UTC, as the public ones."""

    __tablename__ = "deployment_audit"

    deployment_id: Mapped[str] = mapped_column(Text, primary_key=True)
    validator: Mapped[str] = mapped_column(Text)
    chute_id: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    instance_id: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime, server_default=func.now())
    verified_at: Mapped[datetime | None] = mapped_column(DateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime)


class ValidatorMigration(Base):
    """A one-time call to the validators that was made (spec: protocol 17)."""

    __tablename__ = "validator_migrations"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    migration_id: Mapped[str] = mapped_column(String(10), unique=True)
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
