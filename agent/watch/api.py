"""The agent's HTTP API (spec: agent-monitor 5): start, stop, status, health, kubeconfig."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx
import msgspec
import structlog
from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.watch.client import MonitorClient, MonitorError
from agent.watch.kubeconfig import KubeconfigUnavailableError, read_secret
from agent.watch.lifecycle import Lifecycle
from agent.watch.metrics import AgentMetrics
from agent.watch.parts import AlreadyRunningError, ForgottenError, LifecycleParts, NoMonitorError, StartError
from agent.watch.renewal import Renewal
from agent.watch.settings import AgentSettings
from agent.watch.state_file import StateFile
from app.protocol.cluster_access import ClusterAccess, in_cluster_access, open_client, parse_kubeconfig
from app.protocol.monitoring import AgentState
from app.protocol.signing import Purpose, Signer, body_digest
from app.protocol.signing import Request as SignedRequest
from app.protocol.verification import REFUSAL_DETAIL, LocalReplayMemory, ManagementVerifier, Refusal

_BODY_BYTES: Final = 64 << 10
_FAILED_DEPENDENCY: Final = 424
_log = structlog.get_logger(__name__)


class _StartBody(msgspec.Struct):
    control_plane_url: str


@dataclass(frozen=True)
class AgentRoutes:
    """The routes over one lifecycle."""

    settings: AgentSettings
    lifecycle: Lifecycle
    kubernetes: httpx.AsyncClient
    verifier: ManagementVerifier
    metrics: AgentMetrics
    now: Callable[[], float]

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/ping", self.ping),
            Route("/metrics", self.prometheus),
            Route("/monitor/health", self.health),
            Route("/monitor/status", self.status),
            Route("/monitor/start", self.start, methods=["POST"]),
            Route("/monitor/stop", self.stop),
            Route("/config/kubeconfig", self.kubeconfig),
        ]

    async def ping(self, _request: Request) -> Response:
        """Liveness of the process."""
        return _json({"message": "pong"})

    async def prometheus(self, _request: Request) -> Response:
        """Metrics."""
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def health(self, _request: Request) -> Response:
        """503 only in state error: then the pod is restarted."""
        state = self.lifecycle.status.state
        if state is AgentState.ERROR:
            raise HTTPException(503, "Monitoring is in error state")
        return _json({"status": "healthy", "cluster": self.settings.cluster_name})

    async def status(self, _request: Request) -> Response:
        """State, message and last heartbeat."""
        status = self.lifecycle.status
        heartbeat = status.last_heartbeat.isoformat(timespec="microseconds") if status.last_heartbeat else None
        return _json(
            {
                "cluster_id": status.cluster,
                "state": status.state.value,
                "error_message": status.error_message,
                "last_heartbeat": heartbeat,
            }
        )

    async def start(self, request: Request) -> Response:
        """Report to a monitor."""
        url = _parse_start(await self._receive(request))
        started = {"message": "Monitoring started", "cluster": self.settings.cluster_name}
        try:
            await self.lifecycle.start(url)
        except AlreadyRunningError as error:
            raise HTTPException(409, str(error)) from None
        except ForgottenError as error:
            if not self.settings.compatible_start:
                raise HTTPException(_FAILED_DEPENDENCY, f"Server not in inventory: {error}") from None
        except StartError as error:
            _log.exception("start failed")
            raise HTTPException(500, f"Failed to start monitoring: {error}") from None
        return _json(started)

    async def stop(self, request: Request) -> Response:
        """Report no more."""
        self._admit(request, Purpose.MONITORING)
        try:
            await self.lifecycle.stop()
        except NoMonitorError as error:
            raise HTTPException(409, str(error)) from None
        except MonitorError as error:
            raise HTTPException(500, f"Failed to stop monitoring: {error}") from None
        return _json({"message": "Monitoring stopped"})

    async def kubeconfig(self, request: Request) -> Response:
        """The miner kubeconfig of this node."""
        self._admit(request, Purpose.REGISTRATION)
        try:
            stored = await read_secret(self.kubernetes)
        except KubeconfigUnavailableError as error:
            raise HTTPException(error.status, str(error)) from None
        return _json({"kubeconfig": stored.text})

    def _admit(self, request: Request, purpose: Purpose) -> None:
        self._check(request, purpose.value, "")

    async def _receive(self, request: Request) -> bytes:
        if isinstance(self.verifier.precheck(request.headers, self.now()), Refusal):
            raise HTTPException(401, REFUSAL_DETAIL)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _BODY_BYTES:
                raise HTTPException(413, f"body is over {_BODY_BYTES} bytes")
        digest = body_digest(body)
        self._check(request, digest, digest)
        return body

    def _check(self, request: Request, payload: str, digest: str) -> None:
        credentials = self.verifier.precheck(request.headers, self.now())
        target = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
        if isinstance(credentials, Refusal) or self.verifier.check(
            credentials, SignedRequest(request.method, target), payload, digest, self.now()
        ):
            raise HTTPException(401, REFUSAL_DETAIL)


def kubernetes_access(settings: AgentSettings) -> ClusterAccess:
    """The operator's kubeconfig where one is set, the pod's service account otherwise.

    Raises:
        KubeconfigError: neither can be used.
    """
    if settings.kubeconfig is not None:
        return parse_kubeconfig(settings.kubeconfig.read_text(), allow_files=True)
    return in_cluster_access(os.environ)


def create_application(settings: AgentSettings, access: ClusterAccess, now: Callable[[], float] = time.time) -> FastAPI:
    """The ASGI application. The lifecycle lives as long as it runs and is found in `app.state.lifecycle`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        signer = Signer.from_seed(settings.miner_seed.get_secret_value())
        metrics = AgentMetrics()
        async with open_client(access) as kubernetes:
            parts = LifecycleParts(
                cluster=settings.cluster_name,
                namespaces=settings.watch_namespaces,
                kubernetes=kubernetes,
                open_monitor=lambda url: MonitorClient(
                    url, settings.cluster_name, signer, timeout_seconds=settings.control_plane_timeout, now=now
                ),
                state_file=StateFile(settings.control_plane_url_file),
                metrics=metrics,
                now=now,
                heartbeat_seconds=settings.heartbeat_interval,
                sync_spacing_seconds=settings.sync_spacing_seconds,
            )
            lifecycle = Lifecycle(parts)
            verifier = ManagementVerifier(settings.miner_ss58, LocalReplayMemory())
            routes = AgentRoutes(settings, lifecycle, kubernetes, verifier, metrics, now)
            app.router.routes.extend(routes.routes())
            app.state.lifecycle = lifecycle
            await lifecycle.boot()
            renewing = asyncio.create_task(Renewal(access, kubernetes, metrics, now).run())
            try:
                yield
            finally:
                renewing.cancel()
                await lifecycle.close()
                await asyncio.wait([renewing])

    return FastAPI(title="Headframe agent", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)


def _parse_start(body: bytes) -> str:
    try:
        url = msgspec.json.decode(body, type=_StartBody).control_plane_url
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise HTTPException(422, str(error)) from None
    if not url.strip():
        raise HTTPException(422, "control_plane_url is empty, wanted the monitor's address")
    return url


def _json(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")
