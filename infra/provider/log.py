"""Log lines to the engine. Progress is ephemeral: shown while it lasts, kept out of the diagnostics."""

from __future__ import annotations

import asyncio
import sys
from typing import Final

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

_LIMIT_BYTES: Final = 60_000
_TIMEOUT_SECONDS: Final = 10.0


class EngineLog:
    """The engine's log service; without an engine (a debugger attached), lines go to standard error."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address) if address else None

    async def write(self, urn: str, severity: int, message: str, *, ephemeral: bool = False) -> None:
        """Send one line. An engine that does not answer loses the line, never the run."""
        if self._channel is None:
            print(f"{urn}: {message}", file=sys.stderr)
            return
        request = engine_pb2.LogRequest(
            urn=urn,
            severity=severity,  # type: ignore[arg-type]
            message=message[:_LIMIT_BYTES],
            ephemeral=ephemeral,
        )
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await engine_pb2_grpc.EngineStub(self._channel).Log(request)  # type: ignore[misc] # an aio channel
        except (grpc.aio.AioRpcError, TimeoutError) as error:
            print(f"{urn}: {message} (the engine does not take log lines: {error})", file=sys.stderr)

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close(None)


class ResourceLog:
    """Log of one resource."""

    def __init__(self, engine: EngineLog, urn: str) -> None:
        self._engine = engine
        self._urn = urn

    async def info(self, message: str) -> None:
        await self._engine.write(self._urn, engine_pb2.INFO, message)

    async def warning(self, message: str) -> None:
        await self._engine.write(self._urn, engine_pb2.WARNING, message)

    async def error(self, message: str) -> None:
        await self._engine.write(self._urn, engine_pb2.ERROR, message)

    async def debug(self, message: str) -> None:
        await self._engine.write(self._urn, engine_pb2.DEBUG, message)

    async def progress(self, message: str) -> None:
        await self._engine.write(self._urn, engine_pb2.INFO, message, ephemeral=True)
