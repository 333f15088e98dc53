"""`python -m lab.engine.command ENGINE_ADDRESS`: what the engine starts as `pulumi-resource-command`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import grpc
from pulumi.runtime.proto import engine_pb2_grpc

from lab.engine.command.provider import CommandProvider
from lab.engine.serving import run, serve

if TYPE_CHECKING:
    from pulumi.runtime.proto.engine_pb2_grpc import EngineAsyncStub


async def main(engine: str) -> None:
    async with grpc.aio.insecure_channel(engine) as channel:
        provider = CommandProvider(cast("EngineAsyncStub", engine_pb2_grpc.EngineStub(channel)))
        await serve(provider.register, engine, provider.close)


if __name__ == "__main__":
    run(main)
