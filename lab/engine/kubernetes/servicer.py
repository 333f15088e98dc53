"""The plugin's gRPC face: protobuf in, calls on handlers, protobuf out. Must not decide anything about resources."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

import grpc
import grpc.aio
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2

from lab.engine.kubernetes.api import ApiError, NoSuchKindError, UnreachableError
from lab.engine.kubernetes.calls import (
    CheckCall,
    CreateCall,
    DeleteCall,
    DiffCall,
    Handler,
    InitializationError,
    ProviderError,
    ReadCall,
    UpdateCall,
)
from lab.engine.kubernetes.engine_log import EngineLog
from lab.engine.kubernetes.kinds import Urn
from lab.engine.kubernetes.naming import NameSource
from lab.engine.kubernetes.objects import PlainObjects
from lab.engine.kubernetes.provider_config import config_difference
from lab.engine.kubernetes.refusing import RefusingServicer
from lab.engine.kubernetes.releases import Releases
from lab.engine.kubernetes.session import Session, connect
from lab.engine.kubernetes.settings import Settings, refusals
from lab.engine.kubernetes.values import decode, encode
from lab.engine.kubernetes.wire import abort, check_failures, initialization_detail, property_diff, some

_Context = grpc.aio.ServicerContext[object, object]
_Answer = TypeVar("_Answer")
ANNOUNCEMENT: Final = "kubernetes: this is the lab's stand-in, not the official provider"
_AUTONAMING: Final = provider_pb2.CheckRequest.AutonamingOptions


def stand_in_version() -> str:
    """The version of the SDK beside which it stands, marked as a stand-in in the build part of the version."""
    return f"{importlib.metadata.version('pulumi-kubernetes')}+standin"


class KubernetesServicer(RefusingServicer):
    """One provider process. Cancel ends the calls that are under way."""

    def __init__(self, log: EngineLog) -> None:
        self._log = log
        self._session: Session | None = None
        self._running: set[asyncio.Future[Any]] = set()

    async def close(self) -> None:
        """End what is under way, and all connections."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        await self._log.close()

    # The provider itself.

    async def GetPluginInfo(self, request: empty_pb2.Empty, context: _Context) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=stand_in_version())

    async def CheckConfig(self, request: provider_pb2.CheckRequest, context: _Context) -> provider_pb2.CheckResponse:
        failures = check_failures(refusals(decode(request.news)))
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    async def DiffConfig(self, request: provider_pb2.DiffRequest, context: _Context) -> provider_pb2.DiffResponse:
        found = config_difference(decode(request.olds), decode(request.news))
        return provider_pb2.DiffResponse(changes=some(bool(found.names)), diffs=found.names, replaces=found.replaces)

    async def Configure(
        self, request: provider_pb2.ConfigureRequest, context: _Context
    ) -> provider_pb2.ConfigureResponse:
        if self._session is not None:
            await self._session.close()
        await self._log.info("", ANNOUNCEMENT)
        self._session = await connect(Settings.parse(decode(request.args), os.environ), self._log)
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
        )

    async def Attach(self, request: plugin_pb2.PluginAttach, context: _Context) -> empty_pb2.Empty:
        await self._log.attach(request.address)
        return empty_pb2.Empty()

    async def Cancel(self, request: empty_pb2.Empty, context: _Context) -> empty_pb2.Empty:
        for task in self._running:
            task.cancel()
        return empty_pb2.Empty()

    # Resources.

    async def Check(self, request: provider_pb2.CheckRequest, context: _Context) -> provider_pb2.CheckResponse:
        urn = Urn.parse(request.urn)
        wish = request.autonaming
        names = NameSource(urn.name, request.randomSeed, wish.proposed_name, wish.mode == _AUTONAMING.DISABLE)
        call = CheckCall(urn, decode(request.olds), decode(request.news), names)
        answer = await self._answered(self._handler(urn).check(call), context)
        return provider_pb2.CheckResponse(inputs=encode(answer.inputs), failures=check_failures(answer.failures))

    async def Diff(self, request: provider_pb2.DiffRequest, context: _Context) -> provider_pb2.DiffResponse:
        urn = Urn.parse(request.urn)
        call = DiffCall(urn, decode(request.olds), decode(request.news), tuple(request.ignoreChanges))
        found = await self._answered(self._handler(urn).diff(call), context)
        return provider_pb2.DiffResponse(
            changes=some(bool(found.changes)),
            replaces=found.replaces,
            deleteBeforeReplace=found.delete_before_replace,
            diffs=found.names,
            detailedDiff={path: property_diff(change) for path, change in found.changes.items()},
            hasDetailedDiff=found.has_detail,
        )

    async def Create(self, request: provider_pb2.CreateRequest, context: _Context) -> provider_pb2.CreateResponse:
        urn = Urn.parse(request.urn)
        call = CreateCall(urn, decode(request.properties), request.timeout, request.preview)
        answer = await self._answered(self._handler(urn).create(call), context)
        return provider_pb2.CreateResponse(id=answer.id, properties=encode(answer.properties))

    async def Update(self, request: provider_pb2.UpdateRequest, context: _Context) -> provider_pb2.UpdateResponse:
        urn, state, news = Urn.parse(request.urn), decode(request.olds), decode(request.news)
        call = UpdateCall(urn, request.id, state, news, request.timeout, request.preview, tuple(request.ignoreChanges))
        answer = await self._answered(self._handler(urn).update(call), context)
        return provider_pb2.UpdateResponse(properties=encode(answer.properties))

    async def Read(self, request: provider_pb2.ReadRequest, context: _Context) -> provider_pb2.ReadResponse:
        urn = Urn.parse(request.urn)
        call = ReadCall(urn, request.id, decode(request.properties), decode(request.inputs))
        answer = await self._answered(self._handler(urn).read(call), context)
        if not answer.id:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=answer.id, properties=encode(answer.properties), inputs=encode(answer.inputs)
        )

    async def Delete(self, request: provider_pb2.DeleteRequest, context: _Context) -> empty_pb2.Empty:
        urn = Urn.parse(request.urn)
        call = DeleteCall(urn, request.id, decode(request.properties), request.timeout)
        await self._answered(self._handler(urn).delete(call), context)
        return empty_pb2.Empty()

    def _handler(self, urn: Urn) -> Handler:
        session = self._session or Session(Settings(), self._log, unreachable="the provider was not configured")
        return Releases(session) if urn.is_release else PlainObjects(session)

    async def _answered(self, work: Awaitable[_Answer], context: _Context) -> _Answer:
        """The handler's answer; its errors end the call in the form that the engine understands."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        try:
            return await task
        except InitializationError as error:
            return await abort(context, str(error), initialization_detail(error))
        except (ProviderError, ApiError, NoSuchKindError, UnreachableError) as error:
            return await abort(context, str(error))
        except asyncio.CancelledError:
            if context.cancelled():
                raise
            return await abort(context, "the operation was cancelled")
        finally:
            self._running.discard(task)
