"""A small engine for one provider process: the real gRPC protocol, resources by name, a state in memory.

It does what the engine does with refresh_before_update, partial states and drift, and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2_grpc, status_pb2
from pulumi.runtime.proto import provider_pb2 as rpc

from infra.provider.wire import Properties, decode, encode

ROOT: Final = Path(__file__).parents[2]
_TIMEOUT_SECONDS: Final = 120.0


class CallFailed(Exception):  # noqa: N818 named after what it says
    """The provider refused; `partial` tells whether it recorded a state."""

    def __init__(self, message: str, *, partial: bool = False) -> None:
        super().__init__(message)
        self.partial = partial


@dataclass
class Resource:
    """What the state holds of one resource."""

    inputs: Properties
    outputs: Properties
    init_errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogLine:
    urn: str
    severity: int
    message: str
    ephemeral: bool


class LogService(engine_pb2_grpc.EngineServicer):
    """Takes log lines."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []

    async def Log(self, request: engine_pb2.LogRequest, context: Any) -> empty_pb2.Empty:  # noqa: N802
        self.lines.append(LogLine(request.urn, request.severity, request.message, request.ephemeral))
        return empty_pb2.Empty()


@dataclass
class SmallEngine:
    """`async with SmallEngine() as engine`: `preview`, `up` and `destroy` a set of resources of one type."""

    token: str = "headframe:index:Host"
    environment: Mapping[str, str] = field(default_factory=dict)
    state: dict[str, Resource] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        self.log = LogService()
        self.log_server = grpc.aio.server()
        engine_pb2_grpc.add_EngineServicer_to_server(self.log, self.log_server)
        self.address = f"127.0.0.1:{self.log_server.add_insecure_port('127.0.0.1:0')}"
        await self.log_server.start()
        await self.start_provider()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop_provider()
        await self.log_server.stop(None)

    async def start_provider(self) -> None:
        """Start the provider as the engine does, through its launcher."""
        environment = {**os.environ, "HEADFRAME_PYTHON": sys.executable, **self.environment}
        self.process = await asyncio.create_subprocess_exec(
            str(ROOT / "infra" / "provider" / "pulumi-resource-headframe"),
            self.address,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            port = int(await self.process.stdout.readline())
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self.stub: Any = provider_pb2_grpc.ResourceProviderStub(self._channel)
        await self._configure()

    async def stop_provider(self) -> int:
        """Say goodbye as the engine does. Returns its exit status."""
        await self._channel.close(None)
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            return await self.process.wait()

    async def _configure(self) -> None:
        checked = await self._call("CheckConfig", rpc.CheckRequest(news=encode({"hotkey": "marker-seed"})))
        assert decode(checked.inputs) == {}
        configured = await self._call("Configure", rpc.ConfigureRequest(args=checked.inputs))
        assert configured.acceptSecrets
        assert configured.supportsPreview

    def urn(self, name: str) -> str:
        return f"urn:pulumi:dev::headframe::{self.token}::{name}"

    async def preview(self, wanted: Mapping[str, Properties]) -> dict[str, list[str]]:
        """Per resource the top names of what would change; new ones have ["create"], removed ones ["delete"]."""
        await self.refresh()
        steps = await self._steps(wanted, preview=True)
        return {**steps, **{name: ["delete"] for name in self.state.keys() - wanted.keys()}}

    async def up(self, wanted: Mapping[str, Properties]) -> dict[str, list[str]]:
        """As preview, and do it. Raises ExceptionGroup of CallFailed; the others finish."""
        await self.refresh()
        steps = await self._steps(wanted, preview=False)
        for name in self.state.keys() - wanted.keys():
            await self.delete(name)
        return steps

    async def refresh(self) -> None:
        """Read everything; as the engine, forget init errors when Read answers."""
        for name, resource in list(self.state.items()):
            found = await self._call(
                "Read",
                rpc.ReadRequest(
                    id=name, urn=self.urn(name), properties=encode(resource.outputs), inputs=encode(resource.inputs)
                ),
            )
            if found.id:
                self.state[name] = Resource(decode(found.inputs), decode(found.properties))
            else:
                del self.state[name]

    async def delete(self, name: str) -> None:
        resource = self.state[name]
        await self._call(
            "Delete",
            rpc.DeleteRequest(
                id=name, urn=self.urn(name), properties=encode(resource.outputs), old_inputs=encode(resource.inputs)
            ),
        )
        del self.state[name]

    async def check(self, name: str, news: Properties) -> rpc.CheckResponse:
        answer: rpc.CheckResponse = await self._call("Check", rpc.CheckRequest(urn=self.urn(name), news=encode(news)))
        return answer

    async def _steps(self, wanted: Mapping[str, Properties], *, preview: bool) -> dict[str, list[str]]:
        failures: list[CallFailed] = []
        steps: dict[str, list[str]] = {}

        async def one(name: str, news: Properties) -> None:
            try:
                steps[name] = await self._step(name, news, preview=preview)
            except CallFailed as failure:
                failures.append(failure)

        async with asyncio.TaskGroup() as group:
            for name, news in wanted.items():
                group.create_task(one(name, news))
        if failures:
            raise ExceptionGroup("some resources failed", failures)
        return steps

    async def _step(self, name: str, news: Properties, *, preview: bool) -> list[str]:
        checked = await self.check(name, news)
        if checked.failures:
            raise CallFailed("; ".join(f"{item.property}: {item.reason}" for item in checked.failures))
        known = self.state.get(name)
        if known is None:
            await self._create(name, decode(checked.inputs), preview=preview)
            return ["create"]
        diff = await self._call(
            "Diff",
            rpc.DiffRequest(
                id=name,
                urn=self.urn(name),
                olds=encode(known.outputs),
                old_inputs=encode(known.inputs),
                news=checked.inputs,
            ),
        )
        if diff.changes == rpc.DiffResponse.DIFF_SOME or known.init_errors:
            await self._update(name, known, decode(checked.inputs), preview=preview)
        return [*diff.diffs, *(f"replace {item}" for item in diff.replaces)]

    async def _create(self, name: str, inputs: Properties, *, preview: bool) -> None:
        async with self._recording(name, inputs):
            created = await self._call(
                "Create",
                rpc.CreateRequest(urn=self.urn(name), name=name, properties=encode(inputs), preview=preview),
            )
            assert created.refresh_before_update
            if not preview:
                assert created.id == name
                self.state[name] = Resource(inputs, decode(created.properties))

    async def _update(self, name: str, known: Resource, inputs: Properties, *, preview: bool) -> None:
        # As the real engine: after a failed update the state holds the old inputs with the new outputs.
        async with self._recording(name, known.inputs):
            updated = await self._call(
                "Update",
                rpc.UpdateRequest(
                    id=name,
                    urn=self.urn(name),
                    olds=encode(known.outputs),
                    old_inputs=encode(known.inputs),
                    news=encode(inputs),
                    preview=preview,
                ),
            )
            if not preview:
                self.state[name] = Resource(inputs, decode(updated.properties))

    @asynccontextmanager
    async def _recording(self, name: str, inputs: Properties) -> AsyncIterator[None]:
        """Record a partial state as the engine does, then hand the failure on."""
        try:
            yield
        except grpc.aio.AioRpcError as error:
            failure = _init_failure(error)
            if failure is not None:
                reasons = tuple(failure.reasons)
                self.state[name] = Resource(inputs, decode(failure.properties), reasons)
            raise CallFailed(error.details() or "", partial=failure is not None) from error

    async def _call(self, method: str, request: Any) -> Any:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            try:
                return await getattr(self.stub, method)(request)
            except grpc.aio.AioRpcError as error:
                if method in {"Create", "Update"}:
                    raise
                raise CallFailed(error.details() or "") from error


def _init_failure(error: grpc.aio.AioRpcError) -> rpc.ErrorResourceInitFailed | None:
    details = dict(error.trailing_metadata() or ())
    raw = details.get("grpc-status-details-bin")
    if not isinstance(raw, bytes):
        return None
    failure = rpc.ErrorResourceInitFailed()
    return failure if status_pb2.Status.FromString(raw).details[0].Unpack(failure) else None
