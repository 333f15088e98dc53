"""HTTP surface of the bootstrap service of a node (spec graval 2.2), with its weaknesses closed.

Every route but `/ping` needs a signature, and there is no way to start without a whitelist. Signatures are used once
within a two-sided window. No route fetches an address that the caller names: `/remote_token` does not exist.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.protocol.signing import Purpose, body_digest
from app.protocol.signing import Request as SignedRequest
from app.protocol.verification import REFUSAL_DETAIL, LocalReplayMemory, ManagementVerifier, Refusal
from graval.backends.base import Backend, BackendUnavailableError, ProtocolOrderError
from graval.backends.official import OfficialBackend
from graval.containers import ContainerRefusedError
from graval.lock import LockRefusedError
from graval.messages import Message
from graval.official.miner import OfficialMiner, OfficialRefusedError
from graval.service.legacy import LegacyAnswer, LegacyMalformedError, challenged, is_legacy, proved_legacy
from graval.service.phases import PHASE, PROTOCOL, PUBLIC_PROTOCOL, DevicesAnswer, Phase
from graval.service.proving import ProvingSessions
from graval.session import ParameterRefusedError, WorkLimits

BODY_BYTES: Final = 256 << 10
FILE_RANGE_BYTES: Final = 64 << 20
_OFFICIAL: Final = "needs the official library, which this service does not have; it speaks protocol ogv1"


class FileChallenge(BaseModel):
    """A range of a file below the service's challenge folder."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    filename: str
    offset: int = Field(ge=0)
    length: int = Field(ge=1, le=FILE_RANGE_BYTES)


def file_range_digest(folder: Path, challenge: FileChallenge) -> str:
    """SHA-256 of exactly the range asked for (spec graval 1.4). Raises ParameterRefusedError for any other case."""
    path = (folder / challenge.filename.lstrip("/")).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise ParameterRefusedError("no such file in the challenge folder")
    with path.open("rb") as opened:
        opened.seek(challenge.offset)
        data = opened.read(challenge.length)
    if len(data) != challenge.length:
        raise ParameterRefusedError("the range ends past the end of the file")
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class ServiceSettings:
    """Who may call, and what is served. `now` is the wall clock in Unix seconds, `fresh_id` names sessions."""

    miner: str
    whitelist: frozenset[str]
    backend: Backend
    challenge_folder: Path
    now: Callable[[], float]
    fresh_id: Callable[[], str]
    limits: WorkLimits = field(default_factory=WorkLimits)
    #: Answers bodies of the public protocol; without it they get 501.
    official: OfficialMiner | None = None

    def __post_init__(self) -> None:
        """Raises ValueError without a miner or a whitelist: an empty one would let nobody in, or everybody."""
        if not self.miner or not self.whitelist:
            raise ValueError("the service needs the miner's hotkey and at least one validator's in the whitelist")


class BootstrapRoutes:
    """The routes over one node's devices."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        replays = LocalReplayMemory()
        self._validators = ManagementVerifier(settings.miner, replays, settings.whitelist)
        self._miner = ManagementVerifier(settings.miner, replays)
        self._sessions = ProvingSessions(settings.backend, settings.miner, settings.limits, settings.now)
        self._work = {uuid: asyncio.Lock() for uuid in self._sessions.devices}
        # a thread for each device, however few cores there are: all of them start together
        self._threads = ThreadPoolExecutor(max(1, len(self._work)), "device")

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/ping", self.ping),
            Route("/devices", self.devices),
            Route("/info", self.info),
            Route("/prove", self.prove, methods=["POST"]),
            Route("/filesystem", self.filesystem, methods=["POST"]),
        ]

    async def ping(self, _request: Request) -> Response:
        """Liveness."""
        return PlainTextResponse("pong")

    async def devices(self, request: Request) -> Response:
        """Descriptions of the devices, for the miner's own programs."""
        self._admit(self._miner, request, Purpose.GRAVAL.value, "")
        settings = self._settings
        open_protocol = () if isinstance(settings.backend, OfficialBackend) else (PROTOCOL,)
        public_protocol = (PUBLIC_PROTOCOL,) if settings.official is not None else ()
        devices = tuple(self._sessions.devices.values())
        return _json(DevicesAnswer(devices=devices, protocols=(*open_protocol, *public_protocol)))

    async def info(self, request: Request) -> Response:
        """The closed device challenge, where the official library is; refused in plain words elsewhere."""
        self._admit(self._validators, request, Purpose.GRAVAL.value, "")
        official = self._settings.official
        if official is None:
            raise HTTPException(501, f"the device challenge {_OFFICIAL}")
        challenge = request.query_params.get("challenge", "")
        async with self._official_turn():
            return PlainTextResponse(await asyncio.to_thread(challenged, official, challenge))

    async def filesystem(self, request: Request) -> Response:
        """Digest of a range of a file."""
        _, body = await self._receive(request)
        try:
            challenge = FileChallenge.model_validate_json(body)
            digest = await asyncio.to_thread(file_range_digest, self._settings.challenge_folder, challenge)
        except (ValidationError, ParameterRefusedError) as error:
            raise HTTPException(422, str(error)) from None
        return PlainTextResponse(digest)

    async def prove(self, request: Request) -> Response:
        """One phase of the open protocol. Each device works on one at a time; all devices may start together."""
        signer, body = await self._receive(request)
        official = self._settings.official
        if official is not None and is_legacy(body):
            return _json(await asyncio.shield(asyncio.create_task(self._answer_legacy(official, body))))
        phase = _parse_phase(body)
        lock = self._work.get(phase.device_uuid)
        if lock is None:
            raise HTTPException(409, f"this node has no device {phase.device_uuid!r}; GET /devices lists them")
        if lock.locked():
            raise HTTPException(429, "the device is working on a proof; try again when it is done")
        return _json(await asyncio.shield(asyncio.create_task(self._answer(signer, phase, lock))))

    async def _answer_legacy(self, official: OfficialMiner, body: bytes) -> LegacyAnswer:
        """Holds all devices until the work has ended, even when the caller has gone."""
        async with self._official_turn():
            return await asyncio.to_thread(proved_legacy, official, body)

    @asynccontextmanager
    async def _official_turn(self) -> AsyncIterator[None]:
        """The official library works on all devices at once: nobody else may. Its refusals become statuses."""
        locks = list(self._work.values())
        if any(lock.locked() for lock in locks):
            raise HTTPException(429, "a device is working on a proof; try again when it is done")
        async with AsyncExitStack() as stack:
            for lock in locks:
                await stack.enter_async_context(lock)
            try:
                yield
            except LegacyMalformedError as error:
                raise HTTPException(422, str(error)) from None
            except OfficialRefusedError as error:
                raise HTTPException(500, str(error)) from None
            except BackendUnavailableError as error:
                raise HTTPException(503, str(error)) from None

    async def _answer(self, signer: str, phase: Phase, lock: asyncio.Lock) -> Message:
        """Holds the lock until the work has ended, even when the caller has gone."""
        async with lock:
            try:
                work = partial(self._sessions.answer, signer, phase, self._settings.fresh_id())
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
            except ProtocolOrderError as error:
                raise HTTPException(409, str(error)) from None
            except (ParameterRefusedError, LockRefusedError, ContainerRefusedError) as error:
                raise HTTPException(422, str(error)) from None
            except BackendUnavailableError as error:
                raise HTTPException(503, str(error)) from None

    async def _receive(self, request: Request) -> tuple[str, bytes]:
        if isinstance(self._validators.precheck(request.headers, self._settings.now()), Refusal):
            raise HTTPException(401, REFUSAL_DETAIL)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES:
                raise HTTPException(413, f"body is over {BODY_BYTES} bytes")
        digest = body_digest(body)
        return self._admit(self._validators, request, digest, digest), body

    def _admit(self, verifier: ManagementVerifier, request: Request, payload: str, digest: str) -> str:
        credentials = verifier.precheck(request.headers, self._settings.now())
        target = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
        if isinstance(credentials, Refusal) or verifier.check(
            credentials, SignedRequest(request.method, target), payload, digest, self._settings.now()
        ):
            raise HTTPException(401, REFUSAL_DETAIL)
        return credentials.signer


def _parse_phase(body: bytes) -> Phase:
    if is_legacy(body):
        raise HTTPException(501, f"a body without `protocol` {_OFFICIAL}")
    try:
        return PHASE.validate_json(body)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


def create_application(settings: ServiceSettings) -> FastAPI:
    """The ASGI application; it publishes no schema and no documentation pages."""
    application = FastAPI(openapi_url=None)
    application.router.routes.extend(BootstrapRoutes(settings).routes())
    return application


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")
