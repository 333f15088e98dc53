"""Facts that events state about rows we have: instance ids, verification, activation, images. Idempotent.

Nothing is created and nothing is removed here: that is the scheduler's decision.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.protocol.events import (
    Event,
    GpuVerified,
    ImageUpdated,
    InstanceActivated,
    InstanceCreated,
    InstanceEvent,
    Reason,
)
from app.storage import chutes, deployments, servers
from app.storage.models import Chute, Deployment
from app.validators.reconcile import KnownChute, KnownDeployment


async def apply(session: AsyncSession, event: Event, now: datetime) -> bool:
    """Write what an event states; True where a row changed or already said so. The caller commits."""
    data = event.data
    if event.reason is Reason.INSTANCE_CREATED and isinstance(data, InstanceCreated):
        return await deployments.set_instance(session, data.config_id, data.instance_id)
    if event.reason is Reason.INSTANCE_VERIFIED and isinstance(data, InstanceEvent):
        return await deployments.set_verified(session, data.instance_id, now)
    if event.reason is Reason.INSTANCE_ACTIVATED and isinstance(data, InstanceActivated):
        return await deployments.set_activated(session, data.config_id, now)
    if event.reason is Reason.GPU_VERIFIED and isinstance(data, GpuVerified):
        return await servers.set_gpu_verified(session, data.gpu_id)
    if event.reason is Reason.IMAGE_UPDATED and isinstance(data, ImageUpdated):
        await chutes.set_images(session, dict.fromkeys(data.chute_ids, (data.image, data.chutes_version)))
        return bool(data.chute_ids)
    return False


async def known_deployments(session: AsyncSession) -> list[KnownDeployment]:
    """Our deployments, as `reconcile` compares them."""
    rows = await session.execute(
        select(
            Deployment.deployment_id, Deployment.chute_id, Deployment.validator, Deployment.version,
            Deployment.instance_id, Deployment.config_id, Deployment.verified_at, Deployment.active, Deployment.job_id,
        )
    )  # fmt: skip
    return [KnownDeployment(*row[:7], bool(row[7]), row[8]) for row in rows]


async def known_chutes(session: AsyncSession) -> list[KnownChute]:
    """Our chutes, as `reconcile` compares them."""
    rows = await session.execute(select(Chute.chute_id, Chute.validator, Chute.version))
    return [KnownChute(*row) for row in rows]
