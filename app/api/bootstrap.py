"""Adding a server: the stream. Every failure after the first byte is a message, and everything done is undone.

Success is told only by the last message, which starts with `completed server bootstrapping in` (spec: protocol 4).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

import orjson
import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from app.api import claims
from app.api.adding import Candidate
from app.api.agents import AgentError, AttestationProxy
from app.api.attestation import Attestation
from app.api.cluster import ClusterError, NodeFacts, connect, derived_columns
from app.api.services import Services
from app.api.undoing import Progress, Undoing
from app.api.verification import (
    Graval,
    KnownElsewhereError,
    NodeAccess,
    Strategy,
    VerificationError,
)
from app.protocol import labels
from app.storage import servers
from app.storage.additions import NodeKind, NodeProfile
from app.storage.engine import OUTAGES
from app.storage.models import Server
from app.validators.errors import ValidatorError

COMPLETED: Final = "completed server bootstrapping in"
FAILED: Final = "failed to bootstrap the server"
TIMEOUT_SECONDS: Final = 890
#: How long a node may take to be Ready and to report its GPUs.
SETTLE_SECONDS: Final = 90.0
SETTLE_POLL_SECONDS: Final = 2.0

log = structlog.get_logger(__name__)


class BootstrapError(Exception):
    """A step failed; the message goes into the stream."""


def line(message: str, at: datetime) -> bytes:
    """One chunk of the stream; the timestamp is naive UTC, as public clients read it."""
    stamp = at.astimezone(UTC).replace(tzinfo=None).isoformat()
    return b"data: " + orjson.dumps({"timestamp": stamp, "message": message}) + b"\n\n"


class Bootstrap:
    """One server's bootstrap."""

    def __init__(self, services: Services, candidate: Candidate) -> None:
        self._services = services
        self._candidate = candidate
        self._messages: asyncio.Queue[str | None] = asyncio.Queue()
        self._done = Progress()

    async def stream(self) -> AsyncIterator[bytes]:
        """Chunks until the end. A client that goes away does not stop the work: it ends or is undone by itself."""
        work = asyncio.ensure_future(self._run())
        _keep(work)
        while (message := await self._messages.get()) is not None:
            yield line(message, datetime.fromtimestamp(self._services.clock(), UTC))

    async def _say(self, message: str) -> None:
        await self._messages.put(message)

    async def _run(self) -> None:
        name = self._candidate.request.name
        try:
            async with claims.claimed(self._services.engine, name) as mine:
                if mine:
                    await self._attempt()
                else:
                    await self._say(f"{FAILED}: a server named {name} is being added by another request")
        except (SQLAlchemyError, *OUTAGES) as error:
            log.warning("no server can be added without the database", error=str(error))
            await self._say(f"{FAILED}: the database is away")
        finally:
            await self._messages.put(None)

    async def _attempt(self) -> None:
        """Everything to its end or back again, before the name is given free."""
        started = asyncio.get_running_loop().time()
        limit = asyncio.timeout(TIMEOUT_SECONDS)
        try:
            async with limit:
                await self._steps()
            elapsed = asyncio.get_running_loop().time() - started
            await self._say(f"{COMPLETED} {elapsed:.1f} seconds")
        except (BootstrapError, VerificationError, ClusterError, AgentError, ValidatorError) as error:
            self._done.is_advertised &= not isinstance(error, KnownElsewhereError)
            await self._fail(str(error))
        except (SQLAlchemyError, *OUTAGES) as error:
            if limit.expired():
                await self._fail(f"it took longer than {TIMEOUT_SECONDS} s; the message before this says where it was")
                return
            log.warning("the database failed during a bootstrap", error=str(error))
            await self._fail("the database is away or refused a row")
        except Exception as error:
            log.exception("a bootstrap failed by a mistake", server=self._candidate.request.name)
            await self._fail(f"an error that nobody expected, {type(error).__name__}: the API's log has it")

    async def _fail(self, why: str) -> None:
        await self._say(f"{FAILED}: {why}")
        candidate = self._candidate
        await Undoing(self._services.engine, candidate.validator, candidate.agent, self._say).undo(self._done)

    async def _steps(self) -> None:
        request = self._candidate.request
        await self._say(f"attempting to add node {request.name}")
        if self._candidate.warning:
            await self._say(f"warning: {self._candidate.warning}")
        if await claims.clear(self._services, request.name):
            await self._say(f"removed what an earlier attempt to add {request.name} had left")
        node = await self._label()
        await self._say(f"labelled node {request.name}")
        node = await self._settled(node)
        if not node.is_ready:
            raise BootstrapError(f"node {request.name} is not Ready")
        kind = self._kind(node)
        server = await self._insert(node, kind)
        await self._say(f"tracking server {server.name} with {server.gpu_count} GPUs as {kind.value} node")
        await self._monitor()
        strategy = self._strategy(server, kind)
        self._done.is_advertised = True
        await strategy.verify(server, self._say)
        async with AsyncSession(self._services.engine) as session, session.begin():
            await servers.set_gpus_verified(session, server.server_id)

    async def _label(self) -> NodeFacts:
        request, node = self._candidate.request, self._candidate.node
        wanted = {
            labels.GPU_SHORT_REF: request.gpu_short_ref,
            labels.VALIDATOR: request.validator,
            labels.WORKER: "true",
        }
        if all(node.labels.get(name) == value for name, value in wanted.items()):
            return node
        async with connect(self._candidate.cluster, self._candidate.user) as nodes:
            return await nodes.label(request.name, wanted)

    async def _settled(self, node: NodeFacts) -> NodeFacts:
        """The node once it is Ready and reports GPUs, or as it is when patience ends: after a restart of its cluster
        the plugin that reports them comes back last."""
        deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS
        is_told = False
        while not (node.is_ready and node.reports_gpus) and asyncio.get_running_loop().time() < deadline:
            if not is_told:
                await self._say(f"waiting until node {node.name} is Ready and reports its GPUs")
                is_told = True
            await asyncio.sleep(SETTLE_POLL_SECONDS)
            async with connect(self._candidate.cluster, self._candidate.user) as nodes:
                node = await nodes.read(node.name)
        return node

    def _kind(self, node: NodeFacts) -> NodeKind:
        is_tee = node.labels.get(labels.TEE, "").lower() == "true"
        declared = self._candidate.request.kind
        if declared is None:
            return NodeKind.TEE if is_tee else NodeKind.BARE
        if (declared == NodeKind.TEE.value) != is_tee:
            raise BootstrapError(f"the node was declared {declared}, its label {labels.TEE} says otherwise")
        return NodeKind(declared)

    async def _insert(self, node: NodeFacts, kind: NodeKind) -> Server:
        request = self._candidate.request
        address = node.labels.get(labels.EXTERNAL_IP)
        if not address:
            raise BootstrapError(f"node {node.name} has no label {labels.EXTERNAL_IP}")
        figures = derived_columns(node)
        server = Server(
            server_id=node.uid, validator=request.validator, name=node.name, ip_address=address,
            agent_api=self._candidate.agent.url, status="Ready", labels=dict(node.labels),
            hourly_cost=request.hourly_cost, locked=False, is_tee=kind is NodeKind.TEE,
            kubeconfig=self._stored_kubeconfig(node.uid), **figures,
        )  # fmt: skip
        token = request.registry_token_sha256
        profile = NodeProfile(server_id=node.uid, kind=kind.value, registry_token_sha256=token)
        try:
            async with AsyncSession(self._services.engine, expire_on_commit=False) as session, session.begin():
                session.add(server)
                await session.flush()
                session.add(profile)
        except IntegrityError as error:
            raise BootstrapError(f"duplicate server: {node.name} or its id {node.uid} is known already") from error
        self._done.server_id = node.uid
        return server

    def _stored_kubeconfig(self, server_id: str) -> str:
        settings = self._services.settings
        text = orjson.dumps(self._candidate.kubeconfig.dump()).decode()
        return settings.vault.seal(server_id, text) if settings.kubeconfig_sealed else text

    async def _monitor(self) -> None:
        url = self._services.settings.monitor_api
        if url is None:
            await self._say("no monitor address is configured (MONITOR_API): the agent is not told where to report")
            return
        await self._candidate.agent.start_monitoring(url)
        self._done.is_monitored = True
        await self._say(f"the agent reports to {url}")

    def _strategy(self, server: Server, kind: NodeKind) -> Strategy:
        services = self._services
        if kind is NodeKind.BARE:
            access = NodeAccess(self._candidate.cluster, self._candidate.user)
            return Graval(services.engine, self._candidate.validator, services.graval, access)
        proxy = AttestationProxy(server.ip_address or "", services.settings.signer, services.clock)
        return Attestation(services.engine, self._candidate.validator, proxy)


_running: set[asyncio.Future[None]] = set()


def _keep(work: asyncio.Future[None]) -> None:
    _running.add(work)
    work.add_done_callback(_running.discard)
