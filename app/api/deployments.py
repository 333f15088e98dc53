"""Routes of deployments (spec: protocol 3, rows 10 and 11). `purge` stands before the id."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from sqlalchemy import true
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from app.api import intents
from app.api.errors import json_response
from app.api.openapi import described
from app.api.routing import SignedRoute, services_of
from app.storage.additions import IntentKind
from app.storage.models import Chute, Deployment

DeploymentId = Annotated[str, Path(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]

router = APIRouter(prefix="/deployments", tags=["deployments"], route_class=SignedRoute)


@router.delete("/purge", responses=described(None), summary="End all deployments; jobs are kept unless settings say so")
async def purge_all(request: Request) -> Response:
    services = services_of(request)
    condition = true() if services.settings.purge_includes_jobs else Deployment.job_id.is_(None)
    return await intents.purge(services, condition)


@router.delete("/{deployment_id}", responses=described(None, 404), summary="End one deployment")
async def purge_one(request: Request, deployment_id: DeploymentId) -> Response:
    services = services_of(request)
    async with AsyncSession(services.engine) as session:
        row = await session.get(Deployment, deployment_id)
        chute = await session.get(Chute, row.chute_id) if row is not None else None
        if row is None:
            raise HTTPException(404, f"no deployment has the id {deployment_id}")
        flat = {column.key: getattr(row, column.key) for column in Deployment.__table__.columns}
    await intents.ask(services, IntentKind.UNDEPLOY, [deployment_id])
    flat["chute_name"] = chute.name if chute is not None else None
    return json_response({"status": "initiated", "deployment_purged": flat})
