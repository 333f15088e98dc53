"""The gRPC service. Translates between the wire and the kinds; decides nothing itself."""

from __future__ import annotations

import json
import os
from typing import Final, NoReturn

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as rpc

from infra.provider.children import Children
from infra.provider.diff import Change, Difference
from infra.provider.kinds import all_kinds
from infra.provider.kinds.kind import Call, Kind, PartialStateError, ProviderError
from infra.provider.log import EngineLog, ResourceLog
from infra.provider.options import Options, own_variables
from infra.provider.wire import Properties, decode, encode, init_failed_status

NAME: Final = "headframe"
VERSION: Final = "0.1.0"
#: Longer error texts do not fit into the metadata of a gRPC answer and would be lost whole.
_ERROR_LIMIT: Final = 3000
_DIFF_KINDS: Final = {
    (Change.ADD, False): rpc.PropertyDiff.ADD,
    (Change.ADD, True): rpc.PropertyDiff.ADD_REPLACE,
    (Change.DELETE, False): rpc.PropertyDiff.DELETE,
    (Change.DELETE, True): rpc.PropertyDiff.DELETE_REPLACE,
    (Change.UPDATE, False): rpc.PropertyDiff.UPDATE,
    (Change.UPDATE, True): rpc.PropertyDiff.UPDATE_REPLACE,
}
Context = grpc.aio.ServicerContext[object, object]


class ProviderService(provider_pb2_grpc.ResourceProviderServicer):
    """One provider process; the engine keeps it for a whole run."""

    def __init__(self, engine_address: str) -> None:
        self.engine_address = engine_address
        self._log: EngineLog | None = None
        self._configure(Options.read({}, os.environ))

    def _configure(self, options: Options) -> None:
        self.children = Children(options.children)
        self._kinds = all_kinds(options, self.children)

    async def close(self) -> None:
        """End the children and the log."""
        await self.children.end_all()
        if self._log is not None:
            await self._log.close()

    async def Handshake(self, request: rpc.ProviderHandshakeRequest, context: Context) -> rpc.ProviderHandshakeResponse:
        self.engine_address = request.engine_address
        return rpc.ProviderHandshakeResponse(accept_secrets=True, accept_resources=False, accept_outputs=False)

    async def Attach(self, request: plugin_pb2.PluginAttach, context: Context) -> empty_pb2.Empty:
        self.engine_address = request.address
        return empty_pb2.Empty()

    async def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=VERSION)

    async def GetSchema(self, request: rpc.GetSchemaRequest, context: Context) -> rpc.GetSchemaResponse:
        resources: dict[str, dict[str, str]] = {kind: {} for kind in self._kinds}
        return rpc.GetSchemaResponse(schema=json.dumps({"name": NAME, "version": VERSION, "resources": resources}))

    async def CheckConfig(self, request: rpc.CheckRequest, context: Context) -> rpc.CheckResponse:
        return rpc.CheckResponse(inputs=encode(own_variables(decode(request.news))))

    async def DiffConfig(self, request: rpc.DiffRequest, context: Context) -> rpc.DiffResponse:
        """A change of our settings never replaces a machine."""
        same = decode(request.old_inputs) == decode(request.news)
        return rpc.DiffResponse(changes=rpc.DiffResponse.DIFF_NONE if same else rpc.DiffResponse.DIFF_SOME)

    async def Configure(self, request: rpc.ConfigureRequest, context: Context) -> rpc.ConfigureResponse:
        self._configure(Options.read(own_variables(decode(request.args)), os.environ))
        return rpc.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=False)

    async def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:
        await self.children.end_all()
        return empty_pb2.Empty()

    async def Check(self, request: rpc.CheckRequest, context: Context) -> rpc.CheckResponse:
        kind = await self._kind(request.urn, context)
        inputs, failures = kind.check(decode(request.olds), decode(request.news))
        return rpc.CheckResponse(
            inputs=encode(inputs),
            failures=[rpc.CheckFailure(property=item.property, reason=item.reason) for item in failures],
        )

    async def Diff(self, request: rpc.DiffRequest, context: Context) -> rpc.DiffResponse:
        kind = await self._kind(request.urn, context)
        found = kind.diff(decode(request.old_inputs), decode(request.olds), decode(request.news))
        kept = [item for item in found.differences if not _is_ignored(item, request.ignoreChanges)]
        return rpc.DiffResponse(
            changes=rpc.DiffResponse.DIFF_SOME if kept else rpc.DiffResponse.DIFF_NONE,
            diffs=list(dict.fromkeys(_top(item.path) for item in kept)),
            replaces=list(dict.fromkeys(_top(item.path) for item in kept if item.replaces)),
            detailedDiff={item.path: _property_diff(item) for item in kept},
            hasDetailedDiff=True,
            deleteBeforeReplace=found.delete_before_replace,
        )

    async def Create(self, request: rpc.CreateRequest, context: Context) -> rpc.CreateResponse:
        kind = await self._kind(request.urn, context)
        inputs = decode(request.properties)
        call = self._call(request.urn, request.timeout, preview=request.preview)
        try:
            new_id, outputs = await kind.create(call, inputs)
        except PartialStateError as error:
            await self._abort_partial(context, kind, error, inputs)
        except ProviderError as error:
            await self._abort(context, error)
        return rpc.CreateResponse(
            id=new_id, properties=encode(outputs), refresh_before_update=kind.refresh_before_update
        )

    async def Update(self, request: rpc.UpdateRequest, context: Context) -> rpc.UpdateResponse:
        kind = await self._kind(request.urn, context)
        news = decode(request.news)
        call = self._call(request.urn, request.timeout, preview=request.preview)
        try:
            outputs = await kind.update(call, request.id, decode(request.olds), news)
        except PartialStateError as error:
            await self._abort_partial(context, kind, error, news)
        except ProviderError as error:
            await self._abort(context, error)
        return rpc.UpdateResponse(properties=encode(outputs), refresh_before_update=kind.refresh_before_update)

    async def Read(self, request: rpc.ReadRequest, context: Context) -> rpc.ReadResponse:
        kind = await self._kind(request.urn, context)
        call = self._call(request.urn, request.timeout)
        try:
            found = await kind.read(call, request.id, decode(request.inputs), decode(request.properties))
        except ProviderError as error:
            await self._abort(context, error)
        if found.id is None:
            return rpc.ReadResponse()
        return rpc.ReadResponse(
            id=found.id,
            properties=encode(found.outputs),
            inputs=encode(found.inputs),
            refresh_before_update=kind.refresh_before_update,
        )

    async def Delete(self, request: rpc.DeleteRequest, context: Context) -> empty_pb2.Empty:
        kind = await self._kind(request.urn, context)
        call = self._call(request.urn, request.timeout)
        try:
            await kind.delete(call, request.id, decode(request.properties))
        except ProviderError as error:
            await self._abort(context, error)
        return empty_pb2.Empty()

    async def _kind(self, urn: str, context: Context) -> Kind:
        type_token = urn.split("::")[2].rpartition("$")[2]
        if type_token not in self._kinds:
            known = ", ".join(self._kinds)
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"{type_token} is no resource type of {NAME}: it has {known}"
            )
        return self._kinds[type_token]

    def _call(self, urn: str, timeout_seconds: float, *, preview: bool = False) -> Call:
        if self._log is None:
            self._log = EngineLog(self.engine_address)
        name = urn.rpartition("::")[2]
        return Call(urn, name, ResourceLog(self._log, urn), timeout_seconds or None, preview)

    async def _abort(self, context: Context, error: ProviderError) -> NoReturn:
        await context.abort(grpc.StatusCode.UNKNOWN, str(error)[:_ERROR_LIMIT])
        raise error  # abort never returns; this tells the type checker so

    async def _abort_partial(
        self, context: Context, kind: Kind, error: PartialStateError, inputs: Properties
    ) -> NoReturn:
        reasons = [reason[:_ERROR_LIMIT] for reason in error.reasons]
        status = init_failed_status(
            error.id, error.outputs, inputs, reasons, refresh_before_update=kind.refresh_before_update
        )
        await context.abort(
            grpc.StatusCode.UNKNOWN, "; ".join(reasons)[:_ERROR_LIMIT], (("grpc-status-details-bin", status),)
        )
        raise error  # abort never returns; this tells the type checker so


def _property_diff(item: Difference) -> rpc.PropertyDiff:
    return rpc.PropertyDiff(kind=_DIFF_KINDS[item.change, item.replaces], inputDiff=not item.from_state)


def _top(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


def _is_ignored(item: Difference, ignored: object) -> bool:
    names = [str(name) for name in ignored] if hasattr(ignored, "__iter__") else []
    return any(item.path == name or item.path.startswith((f"{name}.", f"{name}[")) for name in names)
