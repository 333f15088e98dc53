"""Messages to the engine that started the provider."""

from __future__ import annotations

from typing import Final

import grpc
import grpc.aio
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

_CALL_TIMEOUT_SECONDS: Final = 5.0


class EngineLog:
    """The engine at an address; an empty address is nobody, until `attach`."""

    def __init__(self, address: str) -> None:
        self._channel: grpc.aio.Channel | None = None
        if address:
            self._open(address)

    def _open(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)

    async def attach(self, address: str) -> None:
        await self.close()
        self._open(address)

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def status(self, urn: str, message: str) -> None:
        await self._send(engine_pb2.INFO, urn, message, is_ephemeral=True)

    async def info(self, urn: str, message: str) -> None:
        await self._send(engine_pb2.INFO, urn, message)

    async def warning(self, urn: str, message: str) -> None:
        await self._send(engine_pb2.WARNING, urn, message)

    async def _send(
        self, severity: engine_pb2.LogSeverity.ValueType, urn: str, message: str, *, is_ephemeral: bool = False
    ) -> None:
        if self._channel is None:
            return
        request = engine_pb2.LogRequest(severity=severity, urn=urn, message=message, ephemeral=is_ephemeral)
        try:
            stub = engine_pb2_grpc.EngineStub(self._channel)
            await stub.Log(request, timeout=_CALL_TIMEOUT_SECONDS)  # type: ignore[misc]  # typed for plain channels
        except grpc.aio.AioRpcError:
            return  # an engine that does not listen must not fail the work
