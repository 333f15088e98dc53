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
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.api.kubeconfig import ClusterFields, UserFields
from app.protocol import labels
from app.protocol.servers import DeviceInfo, NodeRegistration, RegisteredGpu, registered_gpus
from app.protocol.wire import bare_gpu_id
from app.storage import servers
from app.storage.models import Gpu, Server
from app.validators.client import ValidatorClient
from app.validators.errors import RefusedError, UnreachableError, ValidatorError
from app.validators.forgetting import forget_server

GRAVAL_TIMEOUT_SECONDS: Final = 900.0
GRAVAL_POLL_SECONDS: Final = 1.0
CONFLICT: Final = 409
_SERVERS_FAULT: Final = 500

log = structlog.get_logger(__name__)

Say = Callable[[str], Awaitable[None]]


class VerificationError(Exception):
    """The node is not admitted; the message says why."""


class KnownElsewhereError(VerificationError):
    """The validator knew the server or its GPUs before: nothing of that is ours to undo, and it may be earning."""


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
            wanted = labelled_count(server)
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
        except RefusedError as error:
            raise refusal("the GPUs", server.name, error) from error
        except (ValueError, ValidatorError) as error:
            raise VerificationError(f"the validator did not take the GPUs: {error}") from error
        try:
            await self._store(server, seed, session.port)
            await say(f"advertised to the validator, verification task {task_id}")
            await self._watch(task_id, say)
        except BaseException:
            await asyncio.shield(self._forget(server.server_id, gpus))
            raise

    async def _watch(self, task_id: str, say: Say) -> None:
        try:
            async with asyncio.timeout(GRAVAL_TIMEOUT_SECONDS):
                async for status in self._statuses(task_id, say):
                    if status == "verified":  # no other word admits a node, one that we do not know least of all
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

    async def _statuses(self, task_id: str, say: Say) -> AsyncIterator[str]:
        """What the validator says, again and again; its absence is no verdict, and no work is thrown away for it."""
        while True:
            try:
                found = await self.validator.verification_status(task_id)
            except (UnreachableError, RefusedError) as error:
                if isinstance(error, RefusedError) and error.status < _SERVERS_FAULT:
                    raise
                await say(f"the validator does not answer just now, it is asked again: {error}")
                await asyncio.sleep(self.poll_seconds)
                continue
            if found.status in ("error", "failed"):
                raise VerificationError(f"the validator's check failed: {found.error or found.detail or found.status}")
            yield found.status
            await asyncio.sleep(self.poll_seconds)

    async def _store(self, server: Server, seed: int | None, port: int) -> None:
        async with AsyncSession(self.engine) as session, session.begin():
            row = await servers.find(session, server.server_id)
            if row is not None:
                row.seed, row.verification_port = seed, port


def refusal(what: str, name: str, error: RefusedError) -> VerificationError:
    """What to say of a validator's refusal."""
    why = f"the validator refused {what}: {error.status} {error.detail}"
    if error.status != CONFLICT:
        return VerificationError(why)
    return KnownElsewhereError(f"{why}; if it is an old registration of {name}, run `delete-remote --name {name}`")


def labelled_count(server: Server) -> int:
    """How many GPUs the node's label promises.

    Raises:
        VerificationError: it is no number.
    """
    text = server.labels.get(labels.NVIDIA_GPU_COUNT, str(server.gpu_count))
    if not (text.isascii() and text.isdigit()):
        raise VerificationError(f"label {labels.NVIDIA_GPU_COUNT} of {server.name} is {text!r}, wanted a number")
    return int(text)


async def insert_gpus(engine: AsyncEngine, server: Server, devices: list[DeviceInfo]) -> None:
    """Write a server's GPUs, unverified.

    Raises:
        VerificationError: another server of ours has one of them, or two of them are one.
    """
    rows = [
        Gpu(
            gpu_id=bare_gpu_id(device.uuid),
            validator=server.validator,
            server_id=server.server_id,
            device_info=device.model_dump(exclude_unset=True),
            model_short_ref=server.labels.get(labels.GPU_SHORT_REF, ""),
            verified=False,
        )
        for device in devices
    ]
    gpu_ids = [row.gpu_id for row in rows]
    try:
        async with AsyncSession(engine) as session, session.begin():
            await servers.add_gpus(session, rows)
    except IntegrityError as error:
        async with AsyncSession(engine) as session:
            holders = sorted(await servers.names_of_gpus(session, gpu_ids))
        what = (
            f"GPUs of it belong to {', '.join(holders)}: run delete-node first" if holders else "it lists a GPU twice"
        )
        raise KnownElsewhereError(f"{server.name} cannot be added: {what}") from error
