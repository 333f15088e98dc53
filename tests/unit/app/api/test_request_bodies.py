"""Bodies of signed routes: never more in memory than a request may bring, never waited for without end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from redis.asyncio import Redis

from app.api import errors, routing
from app.api.replay import ReplayGuard
from app.api.routing import MAX_BODY_BYTES, SignedRoute
from app.api.settings import SignatureStage
from app.api.verifier import Verifier
from app.protocol.signing import Header, body_digest, nonce_v1
from tests.support.control import MINER

PIECE = b"x" * (256 * 1024)


class _FirstTime:
    """Stands where the guard asks Redis: every token is fresh."""

    async def evalsha(self, *arguments: object) -> list[int]:
        return [1] * len(str(arguments[-1]).split())


def _client() -> httpx.AsyncClient:
    app = FastAPI()
    errors.install(app)
    router = APIRouter(route_class=SignedRoute)

    @router.post("/echo")
    async def echo(body: dict[str, object]) -> dict[str, object]:
        return body

    app.include_router(router)
    verifier = Verifier(MINER.ss58, ReplayGuard(cast("Redis", _FirstTime())), clock=time.time)
    app.state.services = SimpleNamespace(
        verifier=verifier, settings=SimpleNamespace(signature_stage=SignatureStage.OFF)
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api")


def _headers(body: bytes) -> dict[str, str]:
    return MINER.management_headers(nonce_v1(time.time()), body=body) | {"Content-Type": "application/json"}


class _Endless:
    """A body without end that counts what was taken of it."""

    def __init__(self, pause_seconds: float = 0) -> None:
        self.taken = 0
        self._pause_seconds = pause_seconds

    async def pieces(self) -> AsyncIterator[bytes]:
        while self.taken < 100 * MAX_BODY_BYTES:
            self.taken += len(PIECE)
            yield PIECE
            await asyncio.sleep(self._pause_seconds)


async def test_a_signed_body_reaches_its_route() -> None:
    body = b'{"a":1}'
    async with _client() as http:
        answer = await http.post("/echo", content=body, headers=_headers(body))
    assert (answer.status_code, answer.json()) == (200, {"a": 1})


async def test_a_body_over_the_limit_is_refused_before_it_is_all_in_memory() -> None:
    endless = _Endless()
    async with _client() as http:
        answer = await http.post("/echo", content=endless.pieces(), headers=_headers(b"something else"))
    assert answer.status_code == 413
    assert endless.taken <= MAX_BODY_BYTES + 2 * len(PIECE)


async def test_a_length_over_the_limit_is_refused_before_anything_is_read() -> None:
    endless = _Endless()
    more = {"Content-Length": str(MAX_BODY_BYTES + 1)}
    async with _client() as http:
        answer = await http.post("/echo", content=endless.pieces(), headers=_headers(b"something else") | more)
    assert (answer.status_code, endless.taken) == (413, 0)


@pytest.mark.parametrize("missing", [Header.MINER, Header.VALIDATOR, Header.NONCE, Header.SIGNATURE])
async def test_whom_the_headers_alone_condemn_sends_no_body(missing: Header) -> None:
    endless = _Endless()
    headers = {name: value for name, value in _headers(b"").items() if name != missing.value}
    async with _client() as http:
        answer = await http.post("/echo", content=endless.pieces(), headers=headers)
    assert (answer.status_code, endless.taken) == (401, 0)


async def test_a_body_that_trickles_in_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "BODY_SECONDS", 0.05)
    async with _client() as http, asyncio.timeout(5):
        answer = await http.post("/echo", content=_Endless(pause_seconds=10).pieces(), headers=_headers(b""))
    assert answer.status_code == 408


async def test_a_body_that_somebody_else_signed_is_the_one_refusal() -> None:
    headers = _headers(b"{}") | {Header.SIGNATURE.value: "0" * 128}
    async with _client() as http:
        answer = await http.post("/echo", content=b"{}", headers=headers)
    assert answer.content == errors.UNAUTHORISED_BODY
    assert body_digest(b"{}") not in answer.text
