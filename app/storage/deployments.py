"""Repository of deployments and GPU claims. Takes a session; never commits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.storage.models import Deployment, Gpu


class GpusTakenError(Exception):
    """Somebody else holds at least one of the wanted GPUs; nothing was claimed."""

    def __init__(self, wanted: int, free: int) -> None:
        super().__init__(f"wanted {wanted} free GPUs, {free} of them are free: take a fresh snapshot and decide again")
        self.wanted = wanted
        self.free = free


async def find(session: AsyncSession, deployment_id: str) -> Deployment | None:
    """A deployment by our id."""
    return await session.get(Deployment, deployment_id)


async def find_instance(
    session: AsyncSession, instance_id: str | None, config_id: str | None = None
) -> Deployment | None:
    """A deployment by the validator's instance, else by its launch config (an event may come before its instance)."""
    conditions = []
    if instance_id:
        conditions.append(Deployment.instance_id == instance_id)
    if config_id:
        conditions.append(Deployment.config_id == config_id)
    if not conditions:
        return None
    return (await session.scalars(select(Deployment).where(or_(*conditions)).limit(1))).first()


async def list_all(session: AsyncSession) -> Sequence[Deployment]:
    """Every deployment, oldest first."""
    return (await session.scalars(select(Deployment).order_by(Deployment.created_at))).all()


async def insert_with_gpus(session: AsyncSession, deployment: Deployment, gpu_ids: Sequence[str]) -> None:
    """Insert a stub deployment and claim its GPUs, all or none.

    Raises:
        GpusTakenError: at least one GPU is unknown or held; roll the transaction back.
    """
    session.add(deployment)
    await session.flush()
    claimed = await session.execute(
        update(Gpu)
        .where(Gpu.gpu_id.in_(gpu_ids), Gpu.deployment_id.is_(None), Gpu.server_id == deployment.server_id)
        .values(deployment_id=deployment.deployment_id)
        .returning(Gpu.gpu_id)
    )
    free = len(claimed.all())
    if free != len(set(gpu_ids)):
        raise GpusTakenError(len(set(gpu_ids)), free)


async def set_launched(session: AsyncSession, deployment_id: str, *, host: str, port: int) -> None:
    """Service and Job exist: record where the chute is reached; it is no stub any more."""
    values = {"host": host, "port": port, "stub": False}
    await session.execute(update(Deployment).where(Deployment.deployment_id == deployment_id).values(values))


async def set_instance(session: AsyncSession, config_id: str, instance_id: str) -> bool:
    """The validator created an instance from this launch config; False where the config is unknown."""
    rows = await session.execute(
        update(Deployment)
        .where(Deployment.config_id == config_id)
        .values(instance_id=instance_id)
        .returning(Deployment.deployment_id)
    )
    return rows.first() is not None


async def set_verified(session: AsyncSession, instance_id: str, at: datetime) -> bool:
    """The validator verified an instance; an earlier time stays. False where nothing changed."""
    rows = await session.execute(
        update(Deployment)
        .where(Deployment.instance_id == instance_id, Deployment.verified_at.is_(None))
        .values(verified_at=at)
        .returning(Deployment.deployment_id)
    )
    return rows.first() is not None


async def set_activated(session: AsyncSession, config_id: str, at: datetime) -> bool:
    """The validator activated the instance of this launch config; an earlier time stays, because pay and protection
    count from the first activation. False where the config is unknown."""
    rows = await session.execute(
        update(Deployment)
        .where(Deployment.config_id == config_id)
        .values(active=True, activated_at=func.coalesce(Deployment.activated_at, at), stub=False)
        .returning(Deployment.deployment_id)
    )
    return rows.first() is not None


async def set_inactive(session: AsyncSession, config_id: str) -> bool:
    """The validator took the instance of this launch config out of service; False where the config is unknown."""
    rows = await session.execute(
        update(Deployment)
        .where(Deployment.config_id == config_id)
        .values(active=False)
        .returning(Deployment.deployment_id)
    )
    return rows.first() is not None


async def remove(session: AsyncSession, deployment_id: str) -> bool:
    """Delete a deployment, which frees its GPUs: only once its pod is gone. False where it is unknown."""
    rows = await session.execute(
        delete(Deployment).where(Deployment.deployment_id == deployment_id).returning(Deployment.deployment_id)
    )
    return rows.first() is not None
