"""Why something does not earn: reason codes for idle GPUs, pending deployments and unverified nodes.

What rows and health can tell is told here; the scheduler adds what it weighed by writing JSON into a Redis hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Query
from redis.exceptions import RedisError
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from app.api.errors import json_response
from app.api.openapi import described
from app.api.routing import SignedRoute, services_of
from app.api.services import Services
from app.protocol.channels import SCHEDULER_REASONS
from app.protocol.wire import to_utc
from app.storage.models import Chute, Deployment, Gpu, Server

SLOW_START: Final = timedelta(minutes=30)

router = APIRouter(tags=["why"], route_class=SignedRoute)


class Code(StrEnum):
    """Stable codes; the text beside them may change."""

    UNKNOWN_SUBJECT = "unknown_subject"
    SERVER_LOCKED = "server_locked"
    SERVER_NOT_READY = "server_not_ready"
    SERVER_WITHOUT_GPUS = "server_without_gpus"
    GPU_UNVERIFIED = "gpu_unverified"
    GPU_ALLOCATED = "gpu_allocated"
    GPU_IDLE = "gpu_idle"
    NO_CHUTE_FITS = "no_chute_fits"
    CHUTE_BANNED = "chute_banned"
    CHUTE_NOT_DEPLOYED = "chute_not_deployed"
    DEPLOYMENT_STUB = "deployment_stub"
    DEPLOYMENT_NOT_CLAIMED = "deployment_not_claimed"
    DEPLOYMENT_UNVERIFIED = "deployment_unverified"
    DEPLOYMENT_INACTIVE = "deployment_inactive"
    DEPLOYMENT_SLOW = "deployment_slow"
    DEPLOYMENT_ACTIVE = "deployment_active"


@dataclass(frozen=True)
class Why:
    """One reason about one thing, and what to do about it."""

    code: Code
    subject: str
    text: str
    fix: str | None = None


def why_server(server: Server, gpus: Sequence[Gpu], chutes: Sequence[Chute]) -> list[Why]:
    """Reasons about a server and its GPUs. Pure."""
    found: list[Why] = []
    if server.locked:
        found.append(
            Why(
                Code.SERVER_LOCKED, server.name, "it is locked: nothing is placed on it", f"unlock --name {server.name}"
            )
        )
    if server.status != "Ready":
        found.append(Why(Code.SERVER_NOT_READY, server.name, f"its status is {server.status}"))
    if not gpus:
        found.append(
            Why(Code.SERVER_WITHOUT_GPUS, server.name, "no GPU of it was ever discovered", "delete-node, add-node")
        )
    return found + [why_gpu(gpu, chutes) for gpu in gpus]


def why_gpu(gpu: Gpu, chutes: Sequence[Chute]) -> Why:
    """The one reason that describes a GPU best. Pure."""
    if not gpu.verified:
        return Why(Code.GPU_UNVERIFIED, gpu.gpu_id, "no validator has verified it yet", "add-node again, or wait")
    if gpu.deployment_id is not None:
        return Why(Code.GPU_ALLOCATED, gpu.gpu_id, f"deployment {gpu.deployment_id} holds it")
    fitting = [chute for chute in chutes if gpu.model_short_ref in chute.supported_gpus and not chute.ban_reason]
    if not fitting:
        return Why(Code.NO_CHUTE_FITS, gpu.gpu_id, f"no known chute runs on {gpu.model_short_ref}")
    text = f"idle; {len(fitting)} known chutes could run on it: ask about a chute to see what the scheduler weighs"
    return Why(Code.GPU_IDLE, gpu.gpu_id, text)


def why_deployment(row: Deployment, now: datetime) -> list[Why]:
    """How far a deployment is. Pure."""
    subject = row.deployment_id
    found: list[Why] = []
    if row.stub:
        found.append(Why(Code.DEPLOYMENT_STUB, subject, "its Service and Job do not exist yet"))
    elif row.instance_id is None:
        found.append(Why(Code.DEPLOYMENT_NOT_CLAIMED, subject, "its pod has not claimed the launch config yet"))
    elif row.verified_at is None:
        found.append(Why(Code.DEPLOYMENT_UNVERIFIED, subject, "the validator has not verified it yet"))
    elif not row.active:
        found.append(Why(Code.DEPLOYMENT_INACTIVE, subject, "verified, not yet activated: its model is loading"))
    else:
        found.append(Why(Code.DEPLOYMENT_ACTIVE, subject, "active: it earns"))
    created = to_utc(row.created_at) if row.created_at else now
    if not row.active and now - created > SLOW_START:
        minutes = int((now - created).total_seconds() // 60)
        found.append(Why(Code.DEPLOYMENT_SLOW, subject, f"not active after {minutes} minutes", "look at its pod's log"))
    return found


def why_chute(chute: Chute, rows: Sequence[Deployment], now: datetime) -> list[Why]:
    """Reasons about a chute and its deployments. Pure."""
    found: list[Why] = []
    if chute.ban_reason:
        found.append(Why(Code.CHUTE_BANNED, chute.chute_id, f"banned by the operator: {chute.ban_reason}"))
    if not rows:
        found.append(Why(Code.CHUTE_NOT_DEPLOYED, chute.chute_id, "no deployment of it exists here"))
    for row in rows:
        found += why_deployment(row, now)
    return found


@router.get("/why", responses=described(None), summary="Reasons about a server, GPU, chute or deployment")
async def why(
    request: Request, subject: Annotated[str, Query(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9][^\x00]*$")]
) -> Response:
    services = services_of(request)
    now = to_utc(datetime.fromtimestamp(services.clock()).astimezone())
    async with AsyncSession(services.engine) as session:
        found, keys = await _reasons(session, subject, now)
    if not found:
        found = [Why(Code.UNKNOWN_SUBJECT, subject, "no server, GPU, chute or deployment has this name or id")]
    body = {"subject": subject, "reasons": [asdict(item) for item in found]}
    return json_response(body | {"scheduler": await _scheduler(services, keys)})


async def _reasons(session: AsyncSession, subject: str, now: datetime) -> tuple[list[Why], list[str]]:
    chutes = (await session.scalars(select(Chute))).all()
    server = (
        await session.scalars(select(Server).where(or_(Server.name == subject, Server.server_id == subject)).limit(1))
    ).first()
    if server is not None:
        gpus = (await session.scalars(select(Gpu).where(Gpu.server_id == server.server_id).order_by(Gpu.gpu_id))).all()
        return why_server(server, gpus, chutes), [server.server_id, server.name]
    chute = next((item for item in chutes if subject in (item.chute_id, item.name)), None)
    if chute is not None:
        rows = (await session.scalars(select(Deployment).where(Deployment.chute_id == chute.chute_id))).all()
        return why_chute(chute, rows, now), [chute.chute_id]
    deployment = await session.get(Deployment, subject)
    if deployment is not None:
        return why_deployment(deployment, now), [deployment.deployment_id, deployment.chute_id]
    gpu = await session.get(Gpu, subject)
    return ([why_gpu(gpu, chutes)], [gpu.gpu_id, gpu.server_id]) if gpu is not None else ([], [])


async def _scheduler(services: Services, keys: Sequence[str]) -> dict[str, object] | None:
    """What the scheduler wrote about the first of these ids that it wrote about."""
    try:
        for key in keys:
            raw = await services.redis.hget(SCHEDULER_REASONS, key)
            if raw is not None:
                found = orjson.loads(raw)
                return found if isinstance(found, dict) else None
    except (RedisError, OSError, orjson.JSONDecodeError):
        return None
    return None
