"""Every call that a miner makes to a validator, as methods (spec: protocol 8). Ids are checked and percent-encoded.

Timeouts are those of spec protocol 19. What must not be repeated is not: a launch config, a registration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from app.protocol.chutes import ChuteMetrics, ChuteRecord, ImageRecord, RollingUpdate, Utilization
from app.protocol.instances import ActiveInstance, InstanceRecord, LaunchConfig, VerificationStatus
from app.protocol.servers import (
    NodeRecord,
    NodeRegistration,
    RemoteServer,
    RemoteServers,
    ServerRegistration,
    SupportedGpu,
)
from app.protocol.signing import Header, Purpose
from app.protocol.wire import WireModel, safe_id
from app.validators.errors import RefusedError, UnreachableError, ValidatorError
from app.validators.listing import Listing, lines_of, read_listing
from app.validators.transport import Call, Transport

LISTING_TIMEOUT_SECONDS: Final = 120.0
REGISTRATION_TIMEOUT_SECONDS: Final = 300.0
SHORT_TIMEOUT_SECONDS: Final = 15.0
#: What is to be deleted is not known, or the validator has no such route.
_NOT_THERE: Final = frozenset({404, 405})

Item = TypeVar("Item", bound=WireModel)
Parsed = TypeVar("Parsed")

_ACTIVE: Final = TypeAdapter(list[ActiveInstance])
_UTILIZATION: Final = TypeAdapter(list[Utilization])
_ROLLING: Final = TypeAdapter(list[RollingUpdate])
_SUPPORTED: Final = TypeAdapter(dict[str, SupportedGpu])


class ValidatorClient:
    """One validator's API. Errors are those of `Transport.send`, and `ListingAbortedError` for the streamed lists."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    @property
    def hotkey(self) -> str:
        """The validator's hotkey."""
        return self.transport.entry.hotkey

    async def chutes(self) -> Listing[ChuteRecord]:
        """All chutes by id."""
        return await self._listing("/miner/chutes/", ChuteRecord, "chute_id")

    async def images(self) -> Listing[ImageRecord]:
        """All images by id."""
        return await self._listing("/miner/images/", ImageRecord, "image_id")

    async def nodes(self) -> Listing[NodeRecord]:
        """This miner's GPUs by UUID."""
        return await self._listing("/miner/nodes/", NodeRecord, "uuid")

    async def instances(self) -> Listing[InstanceRecord]:
        """This miner's instances by id; really empty only with the explicit marker."""
        return await self._listing("/miner/instances/", InstanceRecord, "instance_id", {"explicit_null": "True"})

    async def metrics(self) -> Listing[ChuteMetrics]:
        """Metrics by chute id."""
        return await self._listing("/miner/metrics/", ChuteMetrics, "chute_id")

    async def active_instances(self) -> Sequence[ActiveInstance]:
        """Active instances of all miners."""
        return await self._json(_ACTIVE, Call("GET", "/miner/active_instances/", Purpose.MINER, repeatable=True))

    async def servers(self) -> Mapping[str, RemoteServer]:
        """This miner's servers at the validator, by id."""
        answer = await self.transport.send(Call("GET", "/miner/servers/", Purpose.MINER, repeatable=True))
        return {server.server_id: server for server in _parse(TypeAdapter(RemoteServers), answer).servers}

    async def utilization(self) -> Mapping[str, Utilization]:
        """How busy each chute is."""
        call = Call("GET", "/chutes/utilization", repeatable=True)
        return {item.chute_id: item for item in await self._json(_UTILIZATION, call)}

    async def rolling_updates(self) -> Mapping[str, RollingUpdate]:
        """Chutes that are being moved to a new version."""
        call = Call("GET", "/chutes/rolling_updates", timeout_seconds=SHORT_TIMEOUT_SECONDS, repeatable=True)
        return {item.chute_id: item for item in await self._json(_ROLLING, call)}

    async def supported_gpus(self) -> Mapping[str, SupportedGpu]:
        """GPU models that the validator accepts, by short reference."""
        call = Call("GET", "/nodes/supported", timeout_seconds=SHORT_TIMEOUT_SECONDS, repeatable=True)
        return await self._json(_SUPPORTED, call)

    async def chute(self, chute_id: str, version: str) -> ChuteRecord | None:
        """One chute at one version; None where that version is gone, which makes its event outdated."""
        call = Call("GET", f"/miner/chutes/{_segment(chute_id)}/{_segment(version)}", Purpose.MINER, repeatable=True)
        try:
            return await self._json(TypeAdapter(ChuteRecord), call)
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    async def launch_config(
        self, chute_id: str, *, job_id: str | None = None, server_id: str | None = None
    ) -> LaunchConfig:
        """Permission to start one instance. Never repeated: a validator counts every token that it issues.

        Raises:
            RefusedError: with status 423 the chute is at capacity, which is no fault (spec: protocol 8.7).
        """
        query = {"chute_id": safe_id(chute_id)}
        if job_id is not None:
            query["job_id"] = safe_id(job_id)
        if server_id is not None:
            query["server_id"] = safe_id(server_id)
        return await self._json(
            TypeAdapter(LaunchConfig), Call("GET", "/instances/launch_config", Purpose.LAUNCH, query)
        )

    async def delete_instance(self, chute_id: str, instance_id: str) -> bool:
        """Tell the validator that an instance is gone; False where it already knew."""
        path = f"/instances/{_segment(chute_id)}/{_segment(instance_id)}"
        return await self._delete(Call("DELETE", path, Purpose.INSTANCES, repeatable=True))

    async def release_job(self, job_id: str) -> bool:
        """Give a job back; False where it is not assigned to this miner."""
        return await self._delete(Call("DELETE", f"/miner/jobs/{_segment(job_id)}", Purpose.MINER, repeatable=True))

    async def register_server(self, registration: ServerRegistration) -> None:
        """Register a server with its GPUs. Not repeated here: look at `servers()` first (spec: protocol 19)."""
        body = registration.model_dump_json(exclude_none=True).encode()
        await self.transport.send(Call("POST", "/servers/", body=body, timeout_seconds=REGISTRATION_TIMEOUT_SECONDS))

    async def rename_server(self, server_id: str, name: str) -> bool:
        """Tell the validator a server's name; False where it does not know the server."""
        call = Call("PATCH", f"/servers/{_segment(server_id)}", Purpose.TEE, {"server_name": name}, repeatable=True)
        return await self._delete(call)

    async def delete_server(self, id_or_name: str) -> bool:
        """Remove a server and its GPUs at the validator; False where it did not know it."""
        return await self._delete(Call("DELETE", f"/servers/{_segment(id_or_name)}", Purpose.TEE, repeatable=True))

    async def register_nodes(self, registration: NodeRegistration) -> tuple[str, int | None]:
        """Register GPUs that prove themselves by GraVal; returns the task to watch and the common seed."""
        body = registration.model_dump_json(exclude_none=True).encode()
        call = Call("POST", "/nodes/", body=body, timeout_seconds=REGISTRATION_TIMEOUT_SECONDS)
        answer = await self._json(TypeAdapter(_NodesAnswer), call)
        seeds = {node.seed for node in answer.nodes}
        if len(seeds) > 1:
            raise ValidatorError(f"{self.hotkey}: the GPUs of one server got {len(seeds)} different seeds")
        return answer.task_id, next(iter(seeds), None)

    async def verification_status(self, task_id: str) -> VerificationStatus:
        """How far a GraVal verification is."""
        call = Call("GET", "/nodes/verification_status", Purpose.GRAVAL, {"task_id": task_id}, repeatable=True)
        return await self._json(TypeAdapter(VerificationStatus), call)

    async def delete_node(self, gpu_id: str) -> bool:
        """Remove one GPU at the validator; False where it did not know it."""
        return await self._delete(Call("DELETE", f"/nodes/{_segment(gpu_id)}", Purpose.NODES, repeatable=True))

    async def upload_audit(self, body: bytes, block: int) -> None:
        """Upload an audit report that was committed in a block (spec: protocol 8.12)."""
        await self.transport.send(
            Call("POST", "/audit/miner_data", body=body, headers={Header.BLOCK.value: str(block)})
        )

    async def _delete(self, call: Call) -> bool:
        try:
            await self.transport.send(call)
        except RefusedError as error:
            if error.status in _NOT_THERE:
                return False
            raise
        return True

    async def _json(self, adapter: TypeAdapter[Parsed], call: Call) -> Parsed:
        return _parse(adapter, await self.transport.send(call))

    async def _listing(
        self, path: str, model: type[Item], key: str, query: Mapping[str, str] | None = None
    ) -> Listing[Item]:
        call = Call("GET", path, Purpose.MINER, query, timeout_seconds=LISTING_TIMEOUT_SECONDS)
        async with self.transport.in_time(call), self.transport.open(call) as response:
            try:
                return await read_listing(lines_of(response.aiter_bytes()), model, key)
            except httpx.HTTPError as error:
                raise UnreachableError(f"GET {path}: the list was cut: {type(error).__name__} {error}") from error


class _RegisteredNode(WireModel):
    seed: int | None = None


class _NodesAnswer(WireModel):
    task_id: str
    nodes: tuple[_RegisteredNode, ...] = ()


def _segment(item_id: str) -> str:
    return quote(safe_id(item_id), safe="")


def _parse(adapter: TypeAdapter[Parsed], response: httpx.Response) -> Parsed:
    try:
        return adapter.validate_json(response.content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValidatorError(
            f"{response.request.method} {response.request.url.path}: the answer is not as documented: "
            f"{'.'.join(map(str, first['loc']))} {first['msg']}"
        ) from error
