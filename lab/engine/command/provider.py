"""The ResourceProvider service of the `command` stand-in: answers as the official provider does (recorded vectors).

One difference on purpose: a failing secret command is not quoted in the error.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import provider_pb2 as wire
from pulumi.runtime.proto import provider_pb2_grpc
from pulumi.runtime.proto.engine_pb2 import LogRequest, LogSeverity
from pulumi.runtime.proto.plugin_pb2 import PluginInfo

from lab.engine.command.changes import diff, outputs_stay
from lab.engine.command.inputs import mistakes_in
from lab.engine.command.process import Command, CommandFailedError, Outputs, run
from lab.engine.kubernetes.values import Properties, Secret, Unknown, decode, encode, plain

if TYPE_CHECKING:
    from pulumi.runtime.proto.engine_pb2_grpc import EngineAsyncStub

#: The version whose answers were recorded.
_VERSION: Final = "1.2.1"
_LIBRARY: Final = {"__pulumi-go-provider-version": "1.2.0"}
_RESOURCE: Final = "command:local:Command"
_FUNCTION: Final = "command:local:run"
_OUTPUTS: Final = ("stdout", "stderr")
_ANNOUNCEMENT: Final = "command: this is the lab's stand-in, not the official provider"
_LOG_TIMEOUT_SECONDS: Final = 5.0
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class CommandProvider(provider_pb2_grpc.ResourceProviderServicer):
    """Serves one engine. `close()` gives up what still runs."""

    def __init__(self, engine: EngineAsyncStub) -> None:
        self._engine = engine
        self._running: set[asyncio.Task[Outputs]] = set()

    def register(self, server: grpc.aio.Server) -> None:
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(self, server)

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def GetPluginInfo(self, request: Empty, context: Context) -> PluginInfo:
        return PluginInfo(version=_VERSION)

    async def CheckConfig(self, request: wire.CheckRequest, context: Context) -> wire.CheckResponse:
        return wire.CheckResponse(inputs=encode({**decode(request.news), **_LIBRARY}))

    async def DiffConfig(self, request: wire.DiffRequest, context: Context) -> wire.DiffResponse:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "DiffConfig is not implemented")

    async def Configure(self, request: wire.ConfigureRequest, context: Context) -> wire.ConfigureResponse:
        await self._log("", _ANNOUNCEMENT, ephemeral=False)
        return wire.ConfigureResponse(
            acceptSecrets=True, acceptResources=True, acceptOutputs=True, supportsPreview=True
        )

    async def Check(self, request: wire.CheckRequest, context: Context) -> wire.CheckResponse:
        await _require(_RESOURCE, _type_of(request.urn, request.type), context)
        failures = [
            wire.CheckFailure(property=mistake.property, reason=mistake.reason)
            for mistake in mistakes_in(decode(request.news))
        ]
        return wire.CheckResponse(inputs=request.news, failures=failures)

    async def Diff(self, request: wire.DiffRequest, context: Context) -> wire.DiffResponse:
        return diff(decode(request.old_inputs), decode(request.news))

    async def Create(self, request: wire.CreateRequest, context: Context) -> wire.CreateResponse:
        inputs = decode(request.properties)
        identity = f"{_name_of(request.urn, request.name)}{secrets.token_hex(4)}"
        if request.preview:
            return wire.CreateResponse(id=identity, properties=encode(inputs | dict.fromkeys(_OUTPUTS, Unknown())))
        outputs = await self._run(request.urn, inputs, "create", {}, context)
        return wire.CreateResponse(id=identity, properties=encode(inputs | asdict(outputs)))

    async def Update(self, request: wire.UpdateRequest, context: Context) -> wire.UpdateResponse:
        old, inputs = decode(request.olds), decode(request.news)
        before = {name: old.get(name, "") for name in _OUTPUTS}
        if request.preview:
            stay = outputs_stay(decode(request.old_inputs), inputs)
            return wire.UpdateResponse(
                properties=encode(inputs | (before if stay else dict.fromkeys(_OUTPUTS, Unknown())))
            )
        verb = "update" if inputs.get("update") is not None else "create"
        outputs = await self._run(request.urn, inputs, verb, before, context)
        return wire.UpdateResponse(properties=encode(inputs | asdict(outputs)))

    async def Read(self, request: wire.ReadRequest, context: Context) -> wire.ReadResponse:
        return wire.ReadResponse(id=request.id, inputs=request.inputs, properties=request.properties)

    async def Delete(self, request: wire.DeleteRequest, context: Context) -> Empty:
        state = decode(request.properties)
        await self._run(request.urn, state, "delete", {name: state.get(name, "") for name in _OUTPUTS}, context)
        return Empty()

    async def Invoke(self, request: wire.InvokeRequest, context: Context) -> wire.InvokeResponse:
        await _require(_FUNCTION, request.tok, context)
        arguments = decode(request.args)
        outputs = await self._run("", arguments, "command", {}, context)
        answer = wire.InvokeResponse()
        getattr(answer, "return").CopyFrom(encode(arguments | asdict(outputs)))  # the field's name is a keyword
        return answer

    async def Cancel(self, request: Empty, context: Context) -> Empty:
        await self.close()
        return Empty()

    async def _run(
        self, urn: str, inputs: Properties, verb: str, before: Mapping[str, object], context: Context
    ) -> Outputs:
        if not inputs.get(verb):
            return Outputs(*(str(plain(before.get(name, ""))) for name in _OUTPUTS))
        task = asyncio.create_task(run(_command(inputs, verb, before), self._logger(urn)))
        self._running.add(task)
        try:
            return await task
        except CommandFailedError as error:
            await context.abort(grpc.StatusCode.UNKNOWN, str(error))
            raise
        finally:
            self._running.discard(task)

    def _logger(self, urn: str) -> Callable[[str], Awaitable[None]]:
        async def log(line: str) -> None:
            await self._log(urn, line, ephemeral=True)

        return log

    async def _log(self, urn: str, message: str, *, ephemeral: bool) -> None:
        request = LogRequest(severity=LogSeverity.INFO, message=message, urn=urn, ephemeral=ephemeral)
        try:
            await self._engine.Log(request, timeout=_LOG_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError:
            return  # the engine is going; its log with it


def _command(inputs: Properties, verb: str, before: Mapping[str, object]) -> Command:
    wanted = plain(inputs)
    assert isinstance(wanted, dict)
    environment = dict(wanted.get("environment") or {})
    if before and wanted.get("addPreviousOutputInEnv", True):
        environment |= {f"PULUMI_COMMAND_{name.upper()}": str(plain(text)) for name, text in before.items()}
    return Command(
        text=wanted[verb],
        shown="[secret]" if isinstance(inputs[verb], Secret) else wanted[verb],
        interpreter=wanted.get("interpreter") or (),
        environment=environment,
        folder=wanted.get("dir") or "",
        stdin=wanted.get("stdin") or "",
        logging=wanted.get("logging") or "",
    )


async def _require(wanted: str, seen: str, context: Context) -> None:
    if seen != wanted:
        kind = seen.removeprefix("command:")
        await context.abort(grpc.StatusCode.NOT_FOUND, f"the lab's stand-in has {wanted} and no {kind}")


def _type_of(urn: str, given: str) -> str:
    return given or urn.split("::")[2].rsplit("$", 1)[-1]


def _name_of(urn: str, given: str) -> str:
    return given or urn.rsplit("::", 1)[-1]
