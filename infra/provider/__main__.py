"""Serves the provider on a loopback port, says the port on standard output, and ends with the engine.

usage: python -m infra.provider [ENGINE_ADDRESS]
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import Final

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from infra.provider.server import ProviderService

_NO_LIMIT: Final = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
_WATCH_SECONDS: Final = 2.0
_MISSED_BEFORE_GONE: Final = 2


async def serve(engine_address: str) -> None:
    """Serve until a signal comes or the engine is gone; end the children first."""
    service = ProviderService(engine_address)
    server = grpc.aio.server(options=_NO_LIMIT)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    finished = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # the engine says goodbye with SIGINT
        asyncio.get_running_loop().add_signal_handler(number, finished.set)
    print(port, flush=True)
    watch = asyncio.create_task(_watch_engine(service, finished))
    await finished.wait()
    watch.cancel()
    await service.close()
    await server.stop(grace=None)


async def _watch_engine(service: ProviderService, finished: asyncio.Event) -> None:
    """An engine that was killed cannot say goodbye: notice that its address or our parent is gone."""
    parent = os.getppid()
    missed = 0
    while missed < _MISSED_BEFORE_GONE and os.getppid() == parent:
        await asyncio.sleep(_WATCH_SECONDS)
        missed = 0 if await _answers(service.engine_address) else missed + 1
    finished.set()


async def _answers(address: str) -> bool:
    if not address:
        return True
    host, _, port = address.rpartition(":")
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_WATCH_SECONDS):
            _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        return True
    return False


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1] if len(sys.argv) > 1 else ""))
