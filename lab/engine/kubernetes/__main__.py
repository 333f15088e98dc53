"""Serves the stand-in: `python -m lab.engine.kubernetes ENGINE_ADDRESS`, started by the engine.

Prints its port and ends with SIGINT, SIGTERM, or when the engine is gone, so that no process outlives a `pulumi` run.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Final

import grpc.aio
from pulumi.runtime.proto import provider_pb2_grpc

from lab.engine.kubernetes.engine_log import EngineLog
from lab.engine.kubernetes.servicer import KubernetesServicer, stand_in_version

_LARGEST_MESSAGE_BYTES: Final = 400 * 1024 * 1024  # as the engine allows it
_GRACE_SECONDS: Final = 1.0


async def serve(address: str) -> None:
    """Serve until a signal comes or the engine at `address` is gone; an empty address waits for Attach."""
    log = EngineLog(address)
    servicer = KubernetesServicer(log)
    options = [
        ("grpc.max_receive_message_length", _LARGEST_MESSAGE_BYTES),
        ("grpc.max_send_message_length", _LARGEST_MESSAGE_BYTES),
    ]
    server = grpc.aio.server(options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    print(f"pulumi-resource-kubernetes {stand_in_version()}: a stand-in, not the official provider", file=sys.stderr)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    waits = {asyncio.create_task(stop.wait()), asyncio.create_task(log.gone())}
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in waits:
        task.cancel()
    await server.stop(_GRACE_SECONDS)
    await servicer.close()


def main() -> None:
    address = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
    asyncio.run(serve(address))


if __name__ == "__main__":
    main()
