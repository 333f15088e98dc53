"""From errors to answers. Bodies are constant: they say what to do and never what a signature should have been."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import asyncpg
import orjson
import structlog
from fastapi import FastAPI
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.requests import Request
from starlette.responses import Response

from app.storage.engine import is_outage

UNAUTHORISED_BODY: Final = b'{"detail":"go away"}'
RETRY_AFTER_SECONDS: Final = "2"

log = structlog.get_logger(__name__)


class UnauthorisedError(Exception):
    """Any defect of a signature. Which one it was is logged and not told."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class UnavailableError(Exception):
    """Something that we need is away; the same request may work in a moment."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(f"{what}: {detail}")
        self.what = what
        self.detail = detail


def json_response(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer without a response model."""
    return Response(orjson.dumps(body), status, headers, "application/json")


def unauthorised() -> Response:
    """The one answer to every defect of a signature."""
    return Response(UNAUTHORISED_BODY, 401, media_type="application/json")


def unavailable(what: str, detail: str) -> Response:
    """503 with the reason and a time to come back."""
    body = {"detail": f"{what} is away: {detail}", "reason": what}
    return json_response(body, 503, {"Retry-After": RETRY_AFTER_SECONDS})


async def _on_unauthorised(request: Request, error: Exception) -> Response:
    why = error.why if isinstance(error, UnauthorisedError) else "?"
    log.debug("refused a request", why=why, method=request.method, path=request.url.path)
    return unauthorised()


async def _on_unavailable(_: Request, error: Exception) -> Response:
    if isinstance(error, UnavailableError):
        return unavailable(error.what, error.detail)
    return unavailable("redis", "it does not answer; requests cannot be checked against replay")


async def _on_database(_: Request, error: Exception) -> Response:
    if is_unprepared(error):
        return unavailable("database", "its tables are being prepared")
    if not is_outage(error):
        raise error
    return unavailable("database", "it does not answer; nothing was changed")


def is_unprepared(error: BaseException) -> bool:
    """Whether the schema is not there yet."""
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
        return True
    return isinstance(error, ProgrammingError) and "does not exist" in str(error.orig)


def install(app: FastAPI) -> None:
    """Register the answers."""
    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        UnauthorisedError: _on_unauthorised,
        UnavailableError: _on_unavailable,
        RedisError: _on_unavailable,
    }
    kinds: tuple[type[Exception], ...] = (DBAPIError, PoolTimeout, asyncpg.PostgresError, asyncpg.InterfaceError)
    for kind in (*kinds, OSError, TimeoutError):
        handlers[kind] = _on_database
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
