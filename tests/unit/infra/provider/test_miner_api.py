"""Calls of the miner API: signed by version 2, streams read by lines, failures with what was seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from app.protocol.servers import AddServer
from app.protocol.signing import Header, Request, Signer, body_digest, message_v2, verify
from infra.provider.miner_api import HttpMinerApi, MinerApiError
from tests.support.settings import HOTKEY, HOTKEY_SEED

SERVER = AddServer(name="gpu-0", validator=HOTKEY, hourly_cost=2.1, gpu_short_ref="h100_sxm", kind="bare")
LIST = b'[{"server_id": "s", "name": "gpu-0", "agent_api": null, "gpus": [{"verified": true}, {}], "more": 1}]'


def api(answer: Callable[[httpx.Request], httpx.Response]) -> HttpMinerApi:
    signer = Signer.from_seed(HOTKEY_SEED)
    return HttpMinerApi("http://api:32000/", signer, clock=lambda: 1000.0, transport=httpx.MockTransport(answer))


def check_signature(request: httpx.Request) -> None:
    headers = request.headers
    digest = body_digest(request.content) if request.content else ""
    target = Request(request.method, request.url.path)
    message = message_v2((HOTKEY, HOTKEY), target, headers[Header.NONCE], digest)
    assert headers[Header.VERSION] == "2"
    assert verify(HOTKEY, message, headers[Header.SIGNATURE])


def test_every_call_is_signed_over_method_path_and_body() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        check_signature(request)
        seen.append(f"{request.method} {request.url.path}")
        return httpx.Response(200, content=LIST)

    async def calls() -> None:
        client = api(answer)
        (server,) = await client.servers()
        assert (server.server_id, server.verified_gpus) == ("s", 1)
        await client.remove("gpu-0")
        await client.put("gpu-0", "hourly-cost", {"hourly_cost": 1})
        await client.drain("gpu-0")
        await client.unlock("gpu-0")

    asyncio.run(calls())
    assert seen == [
        "GET /servers/",
        "DELETE /servers/gpu-0",
        "PUT /servers/gpu-0/hourly-cost",
        "POST /servers/gpu-0/lock",
        "DELETE /servers/gpu-0/deployments",
        "POST /servers/gpu-0/unlock",
    ]


def test_messages_of_an_addition_come_as_text() -> None:
    lines = b'data: {"timestamp": "t", "message": "one"}\n\ndata: {"message": "two"}\n\nodd\n'

    async def read() -> list[str]:
        client = api(lambda request: httpx.Response(200, content=lines))
        return [message async for message in client.add(SERVER)]

    assert asyncio.run(read()) == ["one", "two", "odd"]


@pytest.mark.parametrize("content", [b"<html>", b'{"detail": "no"}', b'[{"name": "gpu-0"}]'])
def test_something_else_than_a_list_is_a_failure_and_no_empty_list(content: bytes) -> None:
    with pytest.raises(MinerApiError, match="something else than a list"):
        asyncio.run(api(lambda request: httpx.Response(200, content=content)).servers())


def test_a_refusal_carries_its_status_and_silence_carries_none() -> None:
    def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(MinerApiError, match="401") as refused:
        asyncio.run(api(lambda request: httpx.Response(401, content=b"go away")).servers())
    with pytest.raises(MinerApiError, match="ConnectError") as nobody:
        asyncio.run(api(silent).servers())
    assert (refused.value.status, nobody.value.status) == (401, None)


def test_removing_what_is_not_there_is_fine() -> None:
    asked: list[str] = []

    def knows_nothing(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        return httpx.Response(404, content=b"no")

    asyncio.run(api(knows_nothing).remove("gpu-0"))
    assert asked == ["DELETE"]
