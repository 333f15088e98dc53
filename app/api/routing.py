"""Routes that demand a signature: checked when the handler is reached, so that redirects use no signature up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import HTTPException
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from app.api.services import Services
from app.api.settings import SignatureStage
from app.api.verifier import BODY_METHODS, Signed
from app.protocol.signing import Header, Purpose, SignatureVersion

#: The largest body is a kubeconfig of up to 1 MiB, escaped (`AddServer`).
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
#: A body must have arrived within the window in which its signature counts.
BODY_SECONDS: Final = 30.0
#: Told to clients that still sign version 1, from stage `prefer` on.
UPGRADE: Final = {Header.VERSION.value: str(SignatureVersion.V2.value)}

RawHandler = Callable[[Request], Coroutine[Any, Any, Response]]


async def authorise(request: Request, purpose: Purpose) -> SignatureVersion:
    """Check a request's signature; see `Verifier.authorise`."""
    scope = request.scope
    query = scope["query_string"]
    path = scope.get("raw_path") or scope["path"].encode()
    body = await _body(request) if scope["method"] in BODY_METHODS else b""
    target = (path + b"?" + query if query else path).decode("latin-1")
    signed = Signed(scope["method"], target, request.headers, body, purpose)
    return await services_of(request).verifier.authorise(signed)


async def _body(request: Request) -> bytes:
    """The body, of a caller whose headers may be the miner's: nobody else's takes memory here."""
    services_of(request).verifier.precheck(request.headers)
    if int(request.headers.get("content-length", "0")) > MAX_BODY_BYTES:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.body()
    except TimeoutError:
        raise HTTPException(408, f"the body did not arrive within {BODY_SECONDS:.0f} s") from None


def _too_large() -> HTTPException:
    return HTTPException(413, f"a body may have at most {MAX_BODY_BYTES} bytes")


def _bounded(request: Request) -> Request:
    """The same request, whose body ends with an error where it goes over the limit."""
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY_BYTES:
            raise _too_large()
        return message

    return Request(request.scope, receive)


def services_of(request: Request) -> Services:
    """What the application was made with."""
    services: Services = request.app.state.services
    return services


def raw(endpoint: RawHandler) -> RawHandler:
    """Mark a handler that takes the request as it is: no dependencies are solved and no model is built."""
    endpoint.is_raw = True  # type: ignore[attr-defined]
    return endpoint


class SignedRoute(APIRoute):
    """A route for the miner's own key, signed for `purpose`."""

    purpose = Purpose.MANAGEMENT

    def get_route_handler(self) -> RawHandler:
        """The handler behind the check."""
        inner: RawHandler = self.endpoint if getattr(self.endpoint, "is_raw", False) else super().get_route_handler()
        purpose = self.purpose

        async def handler(request: Request) -> Response:
            request = _bounded(request) if request.method in BODY_METHODS else request
            version = await authorise(request, purpose)
            response = await inner(request)
            stage = services_of(request).settings.signature_stage
            if version is SignatureVersion.V1 and stage is SignatureStage.PREFER:
                response.headers.update(UPGRADE)
            return response

        return handler


class KubeconfigRoute(SignedRoute):
    """A route signed for `kubeconfig`."""

    purpose = Purpose.KUBECONFIG


class RawRoute(APIRoute):
    """A route without a signature whose handler takes the request as it is."""

    def get_route_handler(self) -> RawHandler:
        """The endpoint itself."""
        endpoint: RawHandler = self.endpoint
        return endpoint
