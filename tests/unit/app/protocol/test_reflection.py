"""Watches that fall silent, damaged lines, pages (spec: agent-monitor 20.3, 23 X8)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from app.protocol import reflection
from app.protocol.channels import ResourceType
from app.protocol.kubernetes_reads import ClusterReadError, Collection, Listing, list_collection
from app.protocol.objects import ObjectEvent
from app.protocol.reflection import Reflector, stub
from tests.support.kubernetes_objects import parsed, pod
from tests.support.serving import serving

PODS = Collection(ResourceType.POD, "chutes")


class Sink:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def on_event(self, event: ObjectEvent) -> None:
        self.names.append(event.object.name)

    async def on_list(self, listing: Listing) -> None:
        raise AssertionError("no list was to be read again")


async def test_x8_a_connection_that_falls_silent_is_left_and_opened_again_from_the_last_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reflection, "_SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(reflection, "_RETRY_DELAYS_SECONDS", (0.01, 0.01, 0.01, 0.01))
    versions: list[str] = []
    silent = asyncio.Event()

    async def watch(request: Request) -> Response:
        versions.append(request.query_params["resourceVersion"])

        async def lines() -> AsyncIterator[bytes]:
            number = 4 + len(versions)
            yield orjson.dumps({"type": "ADDED", "object": pod(f"p{number}", number)}) + b"\n"
            bookmark = {"metadata": {"resourceVersion": str(number * 10)}}
            yield orjson.dumps({"type": "BOOKMARK", "object": bookmark}) + b"\n"
            await silent.wait()

        return StreamingResponse(lines())

    sink = Sink()
    async with serving(Starlette(routes=[Route(PODS.path, watch)])) as url, httpx.AsyncClient(base_url=url) as client:
        following = asyncio.create_task(Reflector(client, PODS, keep_bodies=False).follow(Listing(PODS, "1", ()), sink))
        async with asyncio.timeout(20):
            while len(sink.names) < 3:  # noqa: ASYNC110 - the sink is plain data
                await asyncio.sleep(0.02)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        silent.set()
    assert versions[:3] == ["1", "50", "60"]
    assert sink.names[:3] == ["p5", "p6", "p7"]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b'{"type":"ADDED","object":{}}',
        b'{"type":"ERROR","object":{"code":500,"message":"x"}}',
        b'{"type":"NEW","object":{}}',
    ],
)
async def test_a_line_that_cannot_be_read_breaks_the_watch_and_is_not_skipped(
    monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    monkeypatch.setattr(reflection, "_RETRY_DELAYS_SECONDS", (0.01, 0.01))
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=line + b"\n"))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        with pytest.raises(ClusterReadError):
            await Reflector(client, PODS, keep_bodies=False).follow(Listing(PODS, "1", ()), Sink())


async def test_a_list_is_read_page_by_page_and_begun_again_when_its_version_expires() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        token = request.url.params.get("continue", "")
        asked.append(token)
        if token == "more" and asked.count("more") == 1:
            return httpx.Response(410)
        metadata = {"resourceVersion": "7"} | ({} if token else {"continue": "more"})
        return httpx.Response(200, json={"metadata": metadata, "items": [pod("b" if token else "a", 5), {"broken": 1}]})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://api") as client:
        listing = await list_collection(client, PODS)
    assert asked == ["", "more", "", "more"]
    assert ([item.name for item in listing.objects], listing.version, listing.skipped) == (["a", "b"], "7", 2)


@pytest.mark.parametrize("answer", [httpx.Response(500), httpx.Response(200, content=b"no list")])
async def test_a_list_that_fails_has_no_partial_result(answer: httpx.Response) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer), base_url="http://api") as client:
        with pytest.raises(ClusterReadError):
            await list_collection(client, PODS)


def test_a_stub_keeps_what_identifies_an_object() -> None:
    short = orjson.loads(stub(parsed(pod("a", 7, size=4000))).body)
    assert (short["kind"], short["metadata"]["name"], short["metadata"]["namespace"]) == ("Pod", "a", "chutes")
