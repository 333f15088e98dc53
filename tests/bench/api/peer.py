"""An equivalent of the public miner's way of serving its list, for comparison only.

A middleware digests bodies, a dependency verifies synchronously with a key that is built once, another opens and
commits a session, relations are loaded by joins, and response models are built over ORM rows (spec: protocol 2.7, 3.1).
Public programs run uvicorn as it installs by itself: their lock files name neither uvloop nor httptools, their chart
leaves the access log on. The command line in `__main__` does the same.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import lru_cache
from typing import Annotated

from bittensor_wallet import Keypair
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import joinedload, undefer
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.responses import Response

from app.storage.models import Chute, Deployment, Server


class Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class GpuOut(Row):
    gpu_id: str
    validator: str | None
    server_id: str
    deployment_id: str | None
    device_info: dict[str, object]
    model_short_ref: str
    verified: bool | None


class ChuteOut(Row):
    chute_id: str
    validator: str
    name: str | None
    image: str
    code: str
    filename: str
    ref_str: str
    version: str
    supported_gpus: list[str]
    gpu_count: int
    created_at: datetime | None
    updated_at: datetime | None
    ban_reason: str | None
    chutes_version: str | None
    preemptible: bool | None
    tee: bool | None


class DeploymentOut(Row):
    deployment_id: str
    instance_id: str | None
    validator: str
    host: str | None
    port: int | None
    chute_id: str
    server_id: str
    version: str
    active: bool | None
    verified_at: datetime | None
    activated_at: datetime | None
    stub: bool | None
    job_id: str | None
    config_id: str | None
    created_at: datetime | None
    preemptible: bool | None
    gpus: list[GpuOut]
    chute: ChuteOut


class ServerOut(Row):
    server_id: str
    validator: str
    name: str
    ip_address: str | None
    agent_api: str | None
    verification_port: int | None
    status: str | None
    created_at: datetime | None
    labels: dict[str, str]
    seed: int | None
    gpu_count: int
    cpu_per_gpu: int
    memory_per_gpu: int
    hourly_cost: float
    locked: bool | None
    kubeconfig: str | None
    is_tee: bool | None
    gpus: list[GpuOut]
    deployments: list[DeploymentOut]


class Digest(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        request.state.digest = None
        if request.method in ("POST", "PUT", "PATCH"):
            request.state.digest = hashlib.sha256(await request.body()).hexdigest()
        return await call_next(request)


@lru_cache(maxsize=32)
def keypair_of(address: str) -> Keypair:
    return Keypair(ss58_address=address)


def authorize(
    request: Request,
    x_chutes_miner: Annotated[str | None, Header()] = None,
    x_chutes_validator: Annotated[str | None, Header()] = None,
    x_chutes_nonce: Annotated[str | None, Header()] = None,
    x_chutes_signature: Annotated[str | None, Header()] = None,
) -> None:
    own = os.environ["MINER_SS58"]
    if not all((x_chutes_miner, x_chutes_validator, x_chutes_nonce, x_chutes_signature)) or own != x_chutes_validator:
        raise HTTPException(401, "go away (missing)")
    if int(time.time()) - int(x_chutes_nonce or 0) >= 30:
        raise HTTPException(401, "go away (missing)")
    message = f"{x_chutes_miner}:{x_chutes_validator}:{x_chutes_nonce}:{request.state.digest or 'management'}"
    if not keypair_of(own).verify(message.encode(), bytes.fromhex(x_chutes_signature or "")):
        raise HTTPException(401, "go away: (sig)")


@lru_cache
def engine() -> AsyncEngine:
    return create_async_engine(os.environ["POSTGRESQL"])


async def session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine(), expire_on_commit=False) as opened:
        yield opened
        await opened.commit()


def create() -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await engine().dispose()

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(Digest)

    @app.get("/ping")
    async def ping() -> dict[str, str]:
        return {"message": "pong"}

    @app.get("/servers/", dependencies=[Depends(authorize)])
    async def list_servers(db: Annotated[AsyncSession, Depends(session)]) -> list[ServerOut]:
        deployments = joinedload(Server.deployments)
        query = select(Server).options(
            joinedload(Server.gpus),
            deployments.joinedload(Deployment.gpus),
            deployments.joinedload(Deployment.chute).undefer(Chute.code),
            undefer(Server.kubeconfig),
        )
        rows = (await db.scalars(query)).unique().all()
        return [ServerOut.model_validate(row) for row in rows]

    return app
