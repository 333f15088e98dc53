"""The frame around every route: identity check, scripted faults, the honest log, JSON errors, the SIMULATED header."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import orjson
from aiohttp import web

from app.protocol.signing import Header, Purpose, Request
from lab.validator.auth import Unauthorised, check
from lab.validator.faults import FaultKind, Faults
from lab.validator.state import Asked, Json, State, digest

SIMULATED_HEADER: Final = "X-Headframe-Simulated"
STATE: Final = web.AppKey("state", State)
FAULTS: Final = web.AppKey("faults", Faults)
HOTKEY: Final = web.RequestKey("hotkey", str)
PURPOSE: Final = web.RequestKey("purpose", str)
BODY: Final = web.RequestKey("body", bytes)
CUT_AFTER: Final = web.RequestKey("cut_after", int)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Problem(Exception):  # noqa: N818 - an answer, not a fault of the program
    """Answered with this status and `{"detail": ...}`."""

    def __init__(self, status: int, detail: object) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = detail


def reply(body: object, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def signed(purpose: Purpose | None, handler: Handler) -> Handler:
    """A route for registered hotkeys: signed over the purpose, or over the body where there is none."""

    async def checked(request: web.Request) -> web.StreamResponse:
        body = request[BODY] = await request.read()
        request[PURPOSE] = purpose.value if purpose else "body"
        try:
            described = Request(request.method, request.path_qs)
            request[HOTKEY] = check(request.app[STATE], request.headers, described, purpose, body)
        except Unauthorised as error:
            raise Problem(401, str(error)) from error
        return await handler(request)

    return checked


async def read_json(request: web.Request) -> Json:
    """The body as an object, else 422."""
    try:
        found = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise Problem(422, "the body is not JSON") from error
    if not isinstance(found, dict):
        raise Problem(422, "the body is not an object")
    return found


@web.middleware
async def frame(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Around every route."""
    if request.path.startswith(("/lab", "/socket.io")):
        return await handler(request)
    status = 0
    try:
        response = await _faulty(request, handler)
        status = response.status
        if not response.prepared:
            response.headers[SIMULATED_HEADER] = "true"
    except Problem as problem:
        status = problem.status
        answer = reply({"detail": problem.detail}, problem.status)
        answer.headers[SIMULATED_HEADER] = "true"
        return answer
    except web.HTTPException as error:
        status = error.status
        return reply({"detail": error.reason}, error.status)
    else:
        return response
    finally:
        await _write_down(request, status)


async def _faulty(request: web.Request, handler: Handler) -> web.StreamResponse:
    fault = request.app[FAULTS].take(request.method, request.path)
    if fault is None:
        return await handler(request)
    if fault.kind is FaultKind.REFUSE:
        raise Problem(fault.status, fault.detail)
    if fault.kind is FaultKind.GARBAGE:
        return web.Response(body=b"{not json", content_type="application/json")
    if fault.kind in (FaultKind.HANG, FaultKind.SLOW):
        await asyncio.sleep(fault.seconds)
    if fault.kind in (FaultKind.HANG, FaultKind.DROP):
        if request.transport is not None:
            request.transport.close()
        raise Problem(503, fault.detail)
    if fault.kind in (FaultKind.CUT, FaultKind.EMPTY):
        request[CUT_AFTER] = fault.after if fault.kind is FaultKind.CUT else -1
    return await handler(request)


async def _write_down(request: web.Request, status: int) -> None:
    state = request.app[STATE]
    claimed = request.headers.get(Header.HOTKEY.value)
    purpose = request.get(PURPOSE)
    valid = request.get(HOTKEY) is not None if purpose is not None else None
    state.note(
        Asked(
            state.clock(), request.method, request.path, request.query_string, claimed, purpose, valid, status,
            digest(request.get(BODY, b"")),
        )
    )  # fmt: skip
