"""`python -m lab.engine.kubernetes ENGINE_ADDRESS`: what the engine starts as `pulumi-resource-kubernetes`."""

from __future__ import annotations

import grpc.aio
from pulumi.runtime.proto import provider_pb2_grpc

from lab.engine.kubernetes.engine_log import EngineLog
from lab.engine.kubernetes.servicer import KubernetesServicer
from lab.engine.serving import run, serve


async def main(engine: str) -> None:
    """Serve until the engine ends; an empty address waits for the engine to attach."""
    servicer = KubernetesServicer(EngineLog(engine))

    def register(server: grpc.aio.Server) -> None:
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)

    await serve(register, engine, servicer.close)


if __name__ == "__main__":
    run(main)
