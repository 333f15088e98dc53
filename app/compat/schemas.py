"""Tables under their public names, with the loading that public files rely on: relations come with their rows.

Mapped a second time, on a base of its own, because our own programs load no relation unasked (spec: gepetto 4, 23.2).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ARRAY, DateTime, Double, ForeignKey, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads a plain class attribute
        datetime: DateTime(timezone=True),
        dict[str, object]: JSONB,
        list[str]: ARRAY(String),
        float: Double,
    }


class Server(Base):
    __tablename__ = "servers"

    server_id: Mapped[str] = mapped_column(primary_key=True)
    validator: Mapped[str]
    name: Mapped[str]
    ip_address: Mapped[str | None]
    agent_api: Mapped[str | None]
    verification_port: Mapped[int | None]
    status: Mapped[str | None]
    created_at: Mapped[datetime | None]
    labels: Mapped[dict[str, object]]
    seed: Mapped[int | None]
    gpu_count: Mapped[int]
    cpu_per_gpu: Mapped[int] = mapped_column(default=1)
    memory_per_gpu: Mapped[int] = mapped_column(default=1)
    hourly_cost: Mapped[float]
    locked: Mapped[bool | None] = mapped_column(default=False)
    kubeconfig: Mapped[str | None]
    is_tee: Mapped[bool | None] = mapped_column(default=False)

    gpus: Mapped[list[GPU]] = relationship(back_populates="server", lazy="selectin", passive_deletes=True)
    deployments: Mapped[list[Deployment]] = relationship(back_populates="server", lazy="selectin", passive_deletes=True)


class GPU(Base):
    __tablename__ = "gpus"

    gpu_id: Mapped[str] = mapped_column(primary_key=True)
    validator: Mapped[str | None]
    server_id: Mapped[str] = mapped_column(ForeignKey("servers.server_id", ondelete="CASCADE"))
    deployment_id: Mapped[str | None] = mapped_column(ForeignKey("deployments.deployment_id", ondelete="SET NULL"))
    device_info: Mapped[dict[str, object]]
    model_short_ref: Mapped[str]
    verified: Mapped[bool | None] = mapped_column(default=False)

    server: Mapped[Server] = relationship(back_populates="gpus", lazy="selectin")
    deployment: Mapped[Deployment | None] = relationship(back_populates="gpus", lazy="selectin")


class Chute(Base):
    __tablename__ = "chutes"

    chute_id: Mapped[str] = mapped_column(primary_key=True)
    validator: Mapped[str]
    name: Mapped[str | None]
    image: Mapped[str]
    code: Mapped[str]
    filename: Mapped[str]
    ref_str: Mapped[str]
    version: Mapped[str]
    supported_gpus: Mapped[list[str]]
    gpu_count: Mapped[int]
    created_at: Mapped[datetime | None]
    updated_at: Mapped[datetime | None]
    ban_reason: Mapped[str | None]
    chutes_version: Mapped[str | None]
    preemptible: Mapped[bool | None] = mapped_column(default=True)
    tee: Mapped[bool | None] = mapped_column(default=False)

    deployments: Mapped[list[Deployment]] = relationship(back_populates="chute", lazy="selectin", passive_deletes=True)


class Deployment(Base):
    __tablename__ = "deployments"

    deployment_id: Mapped[str] = mapped_column(primary_key=True)
    instance_id: Mapped[str | None]
    validator: Mapped[str]
    host: Mapped[str | None]
    port: Mapped[int | None]
    chute_id: Mapped[str] = mapped_column(ForeignKey("chutes.chute_id", ondelete="CASCADE"))
    server_id: Mapped[str] = mapped_column(ForeignKey("servers.server_id", ondelete="CASCADE"))
    version: Mapped[str]
    active: Mapped[bool | None] = mapped_column(default=False)
    verified_at: Mapped[datetime | None]
    activated_at: Mapped[datetime | None]
    stub: Mapped[bool | None] = mapped_column(default=False)
    job_id: Mapped[str | None]
    config_id: Mapped[str | None]
    created_at: Mapped[datetime | None]
    preemptible: Mapped[bool | None] = mapped_column(default=True)

    gpus: Mapped[list[GPU]] = relationship(back_populates="deployment", lazy="selectin", passive_deletes=True)
    chute: Mapped[Chute] = relationship(back_populates="deployments", lazy="selectin")
    server: Mapped[Server] = relationship(back_populates="deployments", lazy="selectin")
