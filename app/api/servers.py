"""Routes of servers (spec: protocol 3). State-changing GETs stay for old clients and are mirrored as POST."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import structlog
from fastapi import APIRouter, HTTPException
from fastapi import Path as InPath
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.api import adding, intents, kubeconfig, moving
from app.api.bootstrap import Bootstrap
from app.api.errors import json_response
from app.api.kubeconfig import Kubeconfig
from app.api.openapi import EMPTY_POST, SERVER, SERVERS, STREAM, described
from app.api.reading import JOBS_SQL, ONE_SQL
from app.api.routing import KubeconfigRoute, SignedRoute, raw, services_of
from app.protocol.servers import AddServer, AgentAddress, HourlyCost, RegistryToken
from app.storage import servers
from app.storage.additions import IntentKind
from app.storage.models import Deployment, Server
from app.storage.sealing import SealError, Vault

NO_STORE = {"Cache-Control": "no-store"}
IdOrName = Annotated[str, InPath(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$")]

router = APIRouter(prefix="/servers", tags=["servers"], route_class=SignedRoute)
kubeconfig_router = APIRouter(prefix="/servers", tags=["servers"], route_class=KubeconfigRoute)
log = structlog.get_logger(__name__)


@router.get("/", responses=described(SERVERS), summary="All servers with their GPUs and deployments")
@raw
async def list_servers(request: Request) -> Response:
    return Response(await services_of(request).reader.servers(), media_type="application/json")


@router.post("/", responses=described(STREAM, 400, 404, 409, 500, 502), summary="Add a server")
async def add_server(request: Request, body: AddServer) -> Response:
    services = services_of(request)
    candidate = await adding.check(services, body)
    return StreamingResponse(Bootstrap(services, candidate).stream(), media_type=None, headers=NO_STORE)


@kubeconfig_router.get("/kubeconfig", responses=described(None, 403, 500), summary="One kubeconfig of all clusters")
async def merged_kubeconfig(request: Request) -> Response:
    services = services_of(request)
    if not services.settings.kubeconfig_enabled:
        raise HTTPException(403, "handing out kubeconfigs is switched off (KUBECONFIG_ENABLED)")
    async with AsyncSession(services.engine) as session:
        stored = (
            await session.execute(select(Server.server_id, Server.name, Server.kubeconfig).order_by(Server.name))
        ).all()
    parts: list[Kubeconfig] = []
    control = _control_entry(request)
    if control is not None:
        parts.append(control)
    for server_id, name, text in stored:
        if text:
            parts += _readable(services.settings.vault, server_id, name, text)
    log.info("handed out a merged kubeconfig", clusters=len(parts))
    current = services.settings.control_node_name if control is not None else None
    return json_response(kubeconfig.merge(parts, current), headers=NO_STORE)


def _readable(vault: Vault, server_id: str, name: str, text: str) -> list[Kubeconfig]:
    try:
        return [kubeconfig.parse(vault.open(server_id, text))]
    except (SealError, kubeconfig.KubeconfigError) as error:
        log.warning("a stored kubeconfig was left out", server=name, error=str(error))
        return []


def _control_entry(request: Request) -> Kubeconfig | None:
    settings = services_of(request).settings
    if settings.control_node_name is None or settings.control_external_ip is None:
        return None
    token, authority = Path(settings.service_account_token_path), Path(settings.service_account_ca_path)
    try:
        return kubeconfig.control_entry(settings.control_node_name, settings.control_external_ip, token, authority)
    except OSError as error:
        log.warning("the control cluster was left out of a kubeconfig", error=str(error))
        return None


@router.get("/{id_or_name}/lock", responses=described(SERVER, 404), summary="Stop placing on a server")
async def lock(request: Request, id_or_name: IdOrName) -> Response:
    return await _set_locked(request, id_or_name, locked=True)


@router.get("/{id_or_name}/unlock", responses=described(SERVER, 404), summary="Allow placing on a server again")
async def unlock(request: Request, id_or_name: IdOrName) -> Response:
    return await _set_locked(request, id_or_name, locked=False)


@router.post("/{id_or_name}/lock", responses=described(SERVER, 404), summary="Stop placing", openapi_extra=EMPTY_POST)
async def post_lock(request: Request, id_or_name: IdOrName) -> Response:
    return await _set_locked(request, id_or_name, locked=True)


@router.post("/{id_or_name}/unlock", responses=described(SERVER, 404), summary="Place again", openapi_extra=EMPTY_POST)
async def post_unlock(request: Request, id_or_name: IdOrName) -> Response:
    return await _set_locked(request, id_or_name, locked=False)


@router.get("/{id_or_name}/delete_preflight", responses=described(None, 404), summary="Jobs that a deletion would lose")
async def delete_preflight(request: Request, id_or_name: IdOrName) -> Response:
    server = await _find(request, id_or_name)
    jobs = await services_of(request).reader.text(JOBS_SQL, server.server_id)
    return Response(b'{"jobs":' + jobs + b"}", media_type="application/json")


@router.delete("/{id_or_name}", responses=described(None, 404), summary="Remove a server")
async def delete_server(request: Request, id_or_name: IdOrName) -> Response:
    server = await _find(request, id_or_name)
    services = services_of(request)
    await intents.ask(services, IntentKind.DELETE_SERVER, [server.server_id])
    await intents.announce_server_deleted(services, server.server_id)
    return json_response({"status": "started", "detail": f"removal of {server.name} has started"})


@router.delete(
    "/{id_or_name}/deployments", responses=described(None), summary="End a server's deployments, not its jobs"
)
async def purge_server(request: Request, id_or_name: IdOrName) -> Response:
    services = services_of(request)
    async with AsyncSession(services.engine) as session:
        server = await servers.find(session, id_or_name)
    if server is None:
        return json_response({"status": "initiated", "deployments_purged": []})
    condition = (Deployment.server_id == server.server_id) & Deployment.job_id.is_(None)
    return await intents.purge(services, condition)


@router.put("/{id_or_name}/registry-token", responses=described(None, 404), summary="Set a node's registry token")
async def set_registry_token(request: Request, id_or_name: IdOrName, body: RegistryToken) -> Response:
    server = await _find(request, id_or_name)
    await intents.save_token_digest(services_of(request), server.server_id, body.registry_token_sha256)
    return json_response({"status": "saved"})


@router.put("/{id_or_name}/hourly-cost", responses=described(None, 404), summary="Set what a server costs")
async def set_hourly_cost(request: Request, id_or_name: IdOrName, body: HourlyCost) -> Response:
    server = await _find(request, id_or_name)
    async with AsyncSession(services_of(request).engine) as session, session.begin():
        await servers.set_hourly_cost(session, server.server_id, body.hourly_cost)
    return json_response({"status": "saved"})


@router.put("/{id_or_name}/address", responses=described(None, 400, 404, 409, 502), summary="Set where a node is")
async def set_address(request: Request, id_or_name: IdOrName, body: AgentAddress) -> Response:
    await moving.move(services_of(request), await _find(request, id_or_name), body.agent_api)
    return json_response({"status": "saved"})


async def _set_locked(request: Request, id_or_name: str, *, locked: bool) -> Response:
    services = services_of(request)
    async with AsyncSession(services.engine) as session, session.begin():
        server = await servers.find(session, id_or_name)
        if server is None:
            raise _unknown(id_or_name)
        await servers.set_locked(session, server.server_id, locked=locked)
        server_id = server.server_id
    return Response(await services.reader.text(ONE_SQL, server_id), media_type="application/json", headers=NO_STORE)


async def _find(request: Request, id_or_name: str) -> Server:
    async with AsyncSession(services_of(request).engine) as session:
        server = await servers.find(session, id_or_name)
    if server is None:
        raise _unknown(id_or_name)
    return server


def _unknown(id_or_name: str) -> HTTPException:
    return HTTPException(404, f"no server has the name or id {id_or_name}")
