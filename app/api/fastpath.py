"""The two requests that come by the hundred, answered before the framework sees them: the list of servers and ping.

Same checks, same answers as the framework's; everything else passes on. `app/api/direct.py` asks for the list here even
before there is an ASGI request. What it saves is in docs/adr/0060.
"""

from __future__ import annotations

from typing import Final

import asyncpg
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import errors
from app.api.errors import UnauthorisedError, UnavailableError
from app.api.health import PONG
from app.api.services import Services
from app.api.settings import SignatureStage
from app.api.verifier import Signed
from app.protocol.signing import Header, Purpose, SignatureVersion
from app.storage.engine import is_outage

LIST_PATH: Final = "/servers/"
PING_PATH: Final = "/ping"
_JSON: Final = (b"content-type", b"application/json")
#: The headers that a check reads, as they arrive and as it names them.
_SIGNING: Final = {header.value.lower().encode(): header.value.lower() for header in Header}
_UPGRADE: Final = (Header.VERSION.value.lower().encode(), str(SignatureVersion.V2.value).encode())

Headers = list[tuple[bytes, bytes]]


class FastPath:
    """Wraps the application."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self._inner: ASGIApp = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] == "http" and scope["method"] == "GET":
            path = scope["path"]
            if path == LIST_PATH:
                query: bytes = scope["query_string"]
                target = LIST_PATH + "?" + query.decode("latin-1") if query else LIST_PATH
                await _answer(send, *await self.servers(scope["headers"], target))
                return
            if path == PING_PATH:
                await _answer(send, 200, PONG, [_JSON])
                return
        await self._inner(scope, receive, send)

    async def servers(self, headers: Headers, target: str = LIST_PATH) -> tuple[int, bytes, Headers]:
        """Status, body and headers of the answer to `GET target`, whose names of headers are in lower case."""
        services: Services = self.app.state.services
        signed = {name: value.decode("latin-1") for raw, value in headers if (name := _SIGNING.get(raw)) is not None}
        try:
            version = await services.verifier.authorise(Signed("GET", target, signed, b"", Purpose.MANAGEMENT))
            body = await services.reader.servers()
        except UnauthorisedError:
            return 401, errors.UNAUTHORISED_BODY, [_JSON]
        except UnavailableError as error:
            return _unavailable(error.what, error.detail)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if errors.is_unprepared(error):
                return _unavailable("database", "its tables are being prepared")
            if not is_outage(error):
                raise
            return _unavailable("database", "it does not answer; nothing was changed")
        if version is SignatureVersion.V1 and services.settings.signature_stage is SignatureStage.PREFER:
            return 200, body, [_JSON, _UPGRADE]
        return 200, body, [_JSON]


def _unavailable(what: str, detail: str) -> tuple[int, bytes, Headers]:
    response = errors.unavailable(what, detail)
    return 503, bytes(response.body), [_JSON, (b"retry-after", errors.RETRY_AFTER_SECONDS.encode())]


async def _answer(send: Send, status: int, body: bytes, headers: Headers) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
