"""How a confidential node is admitted: the validator reads a quote from its attestation proxy (spec: protocol 4).

A server that the validator has already, with the same GPUs at the same address, is taken as it is: it may be earning.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.api.agents import AgentError, AttestationProxy
from app.api.verification import CONFLICT, Say, VerificationError, insert_gpus, labelled_count, refusal
from app.protocol import labels
from app.protocol.ports import NodePort
from app.protocol.servers import DeviceInfo, ServerRegistration, registered_gpus
from app.protocol.wire import bare_gpu_id
from app.storage import servers
from app.storage.additions import NodeKind, NodeProfile
from app.storage.models import Server
from app.validators.client import ValidatorClient
from app.validators.errors import RefusedError, UnreachableError, ValidatorError

ATTEMPTS: Final = 5
PAUSE_SECONDS: Final = 3.0


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
        wanted = labelled_count(server)
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
                if await self._is_registered(body):
                    return None
                if attempt == ATTEMPTS - 1:
                    raise VerificationError(f"the validator does not answer: {error}") from error
                await asyncio.sleep(self.pause_seconds)
            except RefusedError as error:
                if error.status == CONFLICT and await self._is_registered(body):
                    return None
                raise refusal("the server", server.name, error) from error
        return None

    async def _is_registered(self, body: ServerRegistration) -> bool:
        """Whether the validator has just this server: an attempt without an answer went through all the same, or our
        database lost a server that goes on earning there."""
        try:
            found = (await self.validator.servers()).get(body.id)
        except ValidatorError:
            return False
        ours = {bare_gpu_id(gpu.uuid) for gpu in body.gpus}
        return found is not None and found.ip in (None, body.host) and ours == {bare_gpu_id(g.uuid) for g in found.gpus}
