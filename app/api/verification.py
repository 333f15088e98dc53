"""How a new server's GPUs are verified, by the kind of its node: attestation for TEE, GraVal for bare nodes (D14).

A strategy says what it does, writes the GPU rows, and raises `VerificationError` where it fails; cleaning up is the
caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.api.agents import AgentError, AttestationProxy
from app.api.kubeconfig import ClusterFields, UserFields
from app.protocol import labels
from app.protocol.ports import NodePort
from app.protocol.servers import DeviceInfo, NodeRegistration, RegisteredGpu, ServerRegistration, registered_gpus
from app.protocol.wire import bare_gpu_id
from app.storage import servers
from app.storage.additions import NodeKind, NodeProfile
from app.storage.models import Gpu, Server
from app.validators.client import ValidatorClient
from app.validators.errors import RefusedError, UnreachableError, ValidatorError
from app.validators.forgetting import forget_server

ATTEMPTS: Final = 5
PAUSE_SECONDS: Final = 3.0
GRAVAL_TIMEOUT_SECONDS: Final = 900.0
GRAVAL_POLL_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)

Say = Callable[[str], Awaitable[None]]


class VerificationError(Exception):
    """The node is not admitted; the message says why."""


@dataclass(frozen=True)
class GravalSession:
    """A GraVal bootstrap that runs on a node: what it found, and the port by which validators reach it."""

    devices: list[DeviceInfo]
    port: int


@dataclass(frozen=True)
class NodeAccess:
    """The way to a node's cluster."""

    cluster: ClusterFields
    user: UserFields


class GravalBootstrap(Protocol):
    """Starts the GraVal service on a bare node and removes it afterwards (spec: graval 2.4)."""

    def running(self, server: Server, access: NodeAccess, say: Say) -> AbstractAsyncContextManager[GravalSession]:
        """Deploy, wait until it is ready, prove its devices; removed when the block ends, however it ends.

        Raises:
            VerificationError, ClusterError: it cannot run here, or a GPU does not hold its proof.
        """
        ...


class Strategy(Protocol):
    """One way to be admitted."""

    async def verify(self, server: Server, say: Say) -> None:
        """Write the server's GPUs, have the validator verify them, and mark them."""
        ...


@dataclass(frozen=True)
class Attestation:
    """TEE nodes: the validator reads a quote from the node's attestation proxy (spec: protocol 4, steps 8 to 12)."""

    engine: AsyncEngine
    validator: ValidatorClient
    proxy: AttestationProxy
    pause_seconds: float = PAUSE_SECONDS

    async def verify(self, server: Server, say: Say) -> None:
        """See `Strategy`."""
        try:
            await self.proxy.check_health()
            fingerprint = await self.proxy.certificate_sha256()
        except AgentError as error:
            raise VerificationError(f"the attestation service does not answer: {error}") from error
        await say(f"attestation service is healthy, certificate {fingerprint[:16]}… pinned")
        devices = await self._devices(server)
        profile = NodeProfile(server_id=server.server_id, kind=NodeKind.TEE.value, certificate_sha256=fingerprint)
        async with AsyncSession(self.engine) as session, session.begin():
            await servers.save_profile(session, profile)
        await insert_gpus(self.engine, server, devices)
        await say(f"discovered {len(devices)} GPUs of model {server.labels.get(labels.GPU_SHORT_REF)}")
        await self._register(server, devices)
        await say("the validator verified the server")

    async def _devices(self, server: Server) -> list[DeviceInfo]:
        wanted = int(server.labels.get(labels.NVIDIA_GPU_COUNT, str(server.gpu_count)))
        problem = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(self.pause_seconds)
            try:
                devices = await self.proxy.devices()
            except AgentError as error:
                problem = str(error)
                continue
            if len(devices) == wanted:
                return devices
            problem = f"it lists {len(devices)} GPUs, the node's label says {wanted}"
        raise VerificationError(f"the attestation service gave no usable list of GPUs: {problem}")

    async def _register(self, server: Server, devices: list[DeviceInfo]) -> None:
        host = server.ip_address or ""
        try:
            gpus = registered_gpus(devices, server.labels[labels.GPU_SHORT_REF], host, int(NodePort.ATTESTATION))
        except ValueError as error:
            raise VerificationError(str(error)) from error
        body = ServerRegistration(host=host, id=server.server_id, name=server.name, gpus=gpus)
        for attempt in range(ATTEMPTS):
            try:
                return await self.validator.register_server(body)
            except UnreachableError as error:
                if await self._is_registered(server.server_id):
                    return None
                if attempt == ATTEMPTS - 1:
                    raise VerificationError(f"the validator does not answer: {error}") from error
                await asyncio.sleep(self.pause_seconds)
            except RefusedError as error:
                raise VerificationError(f"the validator refused the server: {error.status} {error.detail}") from error
        return None

    async def _is_registered(self, server_id: str) -> bool:
        """Whether an attempt without an answer went through all the same."""
        try:
            return server_id in await self.validator.servers()
        except ValidatorError:
            return False


@dataclass(frozen=True)
class Graval:
    """Bare nodes: the validator has the GPUs work and checks the result (spec: graval 2.4)."""

    engine: AsyncEngine
    validator: ValidatorClient
    bootstrap: GravalBootstrap | None
    access: NodeAccess
    poll_seconds: float = GRAVAL_POLL_SECONDS

    async def verify(self, server: Server, say: Say) -> None:
        """See `Strategy`."""
        if self.bootstrap is None:
            raise VerificationError("no GraVal bootstrap is configured here: bare nodes cannot be verified")
        await say("deploying the GraVal bootstrap service")
        async with self.bootstrap.running(server, self.access, say) as session:
            wanted = int(server.labels.get(labels.NVIDIA_GPU_COUNT, str(server.gpu_count)))
            if len(session.devices) != wanted:
                raise VerificationError(f"GraVal found {len(session.devices)} GPUs, the node's label says {wanted}")
            await insert_gpus(self.engine, server, session.devices)
            await say(f"discovered {len(session.devices)} GPUs of model {server.labels.get(labels.GPU_SHORT_REF)}")
            await self._advertise(server, session, say)

    async def _advertise(self, server: Server, session: GravalSession, say: Say) -> None:
        try:
            gpus = registered_gpus(
                session.devices, server.labels[labels.GPU_SHORT_REF], server.ip_address or "", session.port
            )
            body = NodeRegistration(server_id=server.server_id, server_name=server.name, nodes=gpus)
            task_id, seed = await self.validator.register_nodes(body)
        except (ValueError, ValidatorError) as error:
            raise VerificationError(f"the validator did not take the GPUs: {error}") from error
        try:
            await self._store(server, seed, session.port)
            await say(f"advertised to the validator, verification task {task_id}")
            await self._watch(task_id)
        except BaseException:
            await asyncio.shield(self._forget(server.server_id, gpus))
            raise

    async def _watch(self, task_id: str) -> None:
        try:
            async with asyncio.timeout(GRAVAL_TIMEOUT_SECONDS):
                async for status in self._statuses(task_id):
                    if status != "pending":
                        return
        except ValidatorError as error:
            raise VerificationError(f"GraVal verification failed: {error}") from error
        except TimeoutError as error:
            raise VerificationError(f"GraVal verification took longer than {GRAVAL_TIMEOUT_SECONDS:.0f} s") from error

    async def _forget(self, server_id: str, gpus: Sequence[RegisteredGpu]) -> None:
        """Take back what the validator took just now."""
        try:
            await forget_server(self.validator, server_id, [gpu.uuid for gpu in gpus])
        except ValidatorError as error:
            log.warning("the validator did not forget a server's GPUs", server_id=server_id, error=str(error))

    async def _statuses(self, task_id: str) -> AsyncIterator[str]:
        while True:
            found = await self.validator.verification_status(task_id)
            if found.status in ("error", "failed"):
                raise VerificationError(f"the validator's check failed: {found.error or found.detail or found.status}")
            yield found.status
            await asyncio.sleep(self.poll_seconds)

    async def _store(self, server: Server, seed: int | None, port: int) -> None:
        async with AsyncSession(self.engine) as session, session.begin():
            row = await servers.find(session, server.server_id)
            if row is not None:
                row.seed, row.verification_port = seed, port


async def insert_gpus(engine: AsyncEngine, server: Server, devices: list[DeviceInfo]) -> None:
    """Write a server's GPUs, unverified."""
    async with AsyncSession(engine) as session, session.begin():
        await servers.add_gpus(
            session,
            [
                Gpu(
                    gpu_id=bare_gpu_id(device.uuid),
                    validator=server.validator,
                    server_id=server.server_id,
                    device_info=device.model_dump(exclude_unset=True),
                    model_short_ref=server.labels.get(labels.GPU_SHORT_REF, ""),
                    verified=False,
                )
                for device in devices
            ],
        )
