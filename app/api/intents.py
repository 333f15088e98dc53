"""What operators ask for, written down for the scheduler: a restart loses none of it (spec: protocol 20.15)."""

from __future__ import annotations

from typing import Final

import structlog
from redis.exceptions import RedisError
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from app.api.errors import json_response
from app.api.services import Services
from app.protocol.events import Event, Reason, understand
from app.protocol.servers import PurgedDeployment
from app.storage import intents, servers
from app.storage.additions import IntentKind, NodeProfile
from app.storage.models import Chute, Deployment, Gpu, Server
from app.validators.stream import publish

#: Nudges the scheduler to look at the table of intents; the table is the truth.
INTENTS_CHANNEL: Final = "headframe:intents"

log = structlog.get_logger(__name__)


async def ask(services: Services, kind: IntentKind, subjects: list[str]) -> None:
    """Write intents down, then nudge the scheduler."""
    async with AsyncSession(services.engine) as session, session.begin():
        await intents.record(session, kind, subjects)
    try:
        await services.redis.publish(INTENTS_CHANNEL, kind.value)
    except (RedisError, OSError) as error:
        log.warning("the scheduler was not nudged and will look by itself", error=str(error))


async def announce_server_deleted(services: Services, server_id: str) -> None:
    """The public event, for schedulers that know no intents."""
    event = understand(Reason.SERVER_DELETED, {"server_id": server_id})
    if not isinstance(event, Event):
        return
    try:
        await publish(services.redis, event)
    except (RedisError, OSError) as error:
        log.warning("server_deleted was not published; the intent stands", error=str(error))


async def purge(services: Services, condition: ColumnElement[bool]) -> Response:
    """Ask for the end of all deployments that meet a condition; the answer lists them."""
    gpu_count = select(func.count()).where(Gpu.deployment_id == Deployment.deployment_id).scalar_subquery()
    statement = (
        select(Deployment.deployment_id, Deployment.chute_id, Chute.name, Server.server_id, Server.name, gpu_count)
        .join(Chute, Chute.chute_id == Deployment.chute_id)
        .join(Server, Server.server_id == Deployment.server_id)
        .where(condition)
        .order_by(Deployment.created_at)
    )
    async with AsyncSession(services.engine) as session:
        rows = (await session.execute(statement)).all()
    await ask(services, IntentKind.UNDEPLOY, [row[0] for row in rows])
    purged = [
        PurgedDeployment(chute_id=row[1], chute_name=row[2], server_id=row[3], server_name=row[4], gpu_count=row[5])
        for row in rows
    ]
    return json_response({"status": "initiated", "deployments_purged": [item.model_dump() for item in purged]})


async def save_token_digest(services: Services, server_id: str, digest: str) -> None:
    """Replace a node's registry token."""
    async with AsyncSession(services.engine) as session, session.begin():
        profile = await session.get(NodeProfile, server_id)
        if profile is None:
            await servers.save_profile(session, NodeProfile(server_id=server_id, registry_token_sha256=digest))
        else:
            profile.registry_token_sha256 = digest
