"""Methods of the provider protocol that the stand-in has not got.

Written out because the generated defaults would be answered in a thread.
"""

from __future__ import annotations

from typing import NoReturn

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from lab.engine.kubernetes.wire import Context


async def _refuse(context: Context, method: str) -> NoReturn:
    message = f"the stand-in of the kubernetes provider does not serve {method}"
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, message)


class RefusingServicer(provider_pb2_grpc.ResourceProviderServicer):
    """Answers UNIMPLEMENTED."""

    async def Handshake(self, request: object, context: Context) -> NoReturn:
        await _refuse(context, "Handshake")

    async def Parameterize(self, request: object, context: Context) -> NoReturn:
        await _refuse(context, "Parameterize")

    async def GetSchema(self, request: object, context: Context) -> NoReturn:
        await _refuse(context, "GetSchema")

    async def Invoke(self, request: object, context: Context) -> NoReturn:
        await _refuse(context, "Invoke")

    async def Call(self, request: object, context: Context) -> NoReturn:
        await _refuse(context, "Call")

    async def Construct(self, request: object, context: Context) -> NoReturn:
        await _refuse(context, "Construct")

    async def GetMapping(self, request: object, context: Context) -> NoReturn:
        await _refuse(context, "GetMapping")

    async def GetMappings(self, request: object, context: Context) -> NoReturn:
        await _refuse(context, "GetMappings")
