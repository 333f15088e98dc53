"""The list of servers on a real connection: whichever way it takes, the answers are the same and in order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

import orjson
import pytest
from redis.asyncio import Redis

from app.api.direct import DirectProtocol
from app.api.fastpath import FastPath, Headers
from app.api.reading import Reader
from app.protocol.signing import Purpose, nonce_v1
from app.storage.seed import SERVERS
from lab.services.redis import EmbeddedRedis
from tests.support.api import serving, settings
from tests.support.control import MINER, STRANGER

pytestmark = pytest.mark.service

PING = b"GET /ping HTTP/1.1\r\nHost: api\r\n\r\n"
NAMES = [name for name, *_ in SERVERS]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def names(self) -> list[str]:
        return sorted(server["name"] for server in orjson.loads(self.body))


class Line:
    """One connection, read and written by hand; `opened` keeps those of a test until its end."""

    opened: ClassVar[list[Line]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> Line:
        line = cls(*await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1])))
        cls.opened.append(line)
        return line

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def read(self) -> Answer:
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers["content-length"]))
        return Answer(int(head[0].split()[1]), headers, body)

    async def ask(self, raw: bytes) -> Answer:
        self.writer.write(raw)
        return await self.read()

    async def is_ended(self) -> bool:
        async with asyncio.timeout(20):
            return await self.reader.read() == b""


def listing(target: str = "/servers/", more: str = "", version: str = "1.1", signer: object = MINER) -> bytes:
    assert isinstance(signer, type(MINER))
    signed = signer.management_headers(nonce_v1(time.time()), purpose=Purpose.MANAGEMENT)
    lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
    return f"GET {target} HTTP/{version}\r\nHost: api\r\n{lines}{more}\r\n".encode()


@pytest.fixture(autouse=True)
async def nothing_stays_open() -> AsyncIterator[None]:
    yield
    while Line.opened:
        await Line.opened.pop().close()


@pytest.fixture
async def url(database_url: str, redis: Redis, redis_server: EmbeddedRedis) -> AsyncIterator[str]:
    async with serving(settings(database_url, redis_server.url)) as url:
        yield url


async def test_one_connection_serves_many_lists_and_every_way_gives_the_same_answer(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[bool] = []
    is_plain_list = DirectProtocol._is_plain_list

    def noted(self: DirectProtocol) -> bool:
        taken.append(is_plain_list(self))
        return taken[-1]

    monkeypatch.setattr(DirectProtocol, "_is_plain_list", noted)
    line = await Line.open(url)
    direct = [await line.ask(listing()) for _ in range(3)]
    usual = [await line.ask(listing(more="Expect: 100-continue\r\n")), await line.ask(listing("/servers/?a=b"))]
    for answer in (*direct, *usual):
        assert (answer.status, answer.names) == (200, sorted(NAMES))
        assert answer.headers.keys() == {"date", "content-type", "content-length"}
    assert len({answer.body for answer in (*direct, *usual)}) == 1
    assert taken == [True] * 3 + [False] * 2


async def test_a_signature_works_once_and_a_strangers_never(url: str) -> None:
    line = await Line.open(url)
    raw = listing()
    assert [(await line.ask(raw)).status for _ in range(2)] == [200, 401]
    refused = await line.ask(listing(signer=STRANGER))
    assert (refused.status, refused.body) == (401, b'{"detail":"go away"}')


async def test_requests_sent_without_waiting_are_answered_in_their_order(url: str) -> None:
    line = await Line.open(url)
    line.writer.write(PING + listing() + listing() + PING + listing())
    answers = [await line.read() for _ in range(5)]
    assert [answer.status for answer in answers] == [200] * 5
    assert [answer.body == b'{"message":"pong"}' for answer in answers] == [True, False, False, True, False]


async def test_a_body_that_a_list_does_not_need_is_passed_over(url: str) -> None:
    line = await Line.open(url)
    assert (await line.ask(listing(more="Content-Length: 4\r\n") + b"body")).names == sorted(NAMES)
    assert (await line.ask(listing())).status == 200


@pytest.mark.parametrize(("version", "more"), [("1.1", "Connection: close\r\n"), ("1.0", "")])
async def test_a_connection_ends_after_the_answer_where_the_client_wants_it(url: str, version: str, more: str) -> None:
    line = await Line.open(url)
    answer = await line.ask(listing(version=version, more=more))
    assert (answer.names, answer.headers["connection"]) == (sorted(NAMES), "close")
    assert await line.is_ended()


async def test_a_failure_that_nobody_foresaw_is_a_500_and_the_next_connection_works(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_: FastPath, headers: Headers, target: str = "") -> tuple[int, bytes, Headers]:
        raise ZeroDivisionError(f"{len(headers)}{target}")

    line = await Line.open(url)
    with monkeypatch.context() as patch:
        patch.setattr(FastPath, "servers", fails)
        answer = await line.ask(listing())
    assert (answer.status, answer.body, answer.headers["connection"]) == (500, b"Internal Server Error", "close")
    assert await line.is_ended()
    assert (await (await Line.open(url)).ask(listing())).status == 200


async def test_a_client_that_goes_away_takes_nobody_with_it_and_a_stop_waits_for_an_answer_under_way(
    database_url: str, redis: Redis, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on, asked = asyncio.Event(), asyncio.Semaphore(0)
    read = Reader.servers

    async def slowly(self: Reader) -> bytes:
        asked.release()
        await going_on.wait()
        return await read(self)

    monkeypatch.setattr(Reader, "servers", slowly)
    async with serving(settings(database_url, redis_server.url)) as url:
        gone, stays = await Line.open(url), await Line.open(url)
        for line in (gone, stays):
            line.writer.write(listing())
            await asked.acquire()
        gone.writer.close()
        await gone.writer.wait_closed()
        asyncio.get_running_loop().call_later(0.3, going_on.set)
    answer = await stays.read()  # the server was told to stop before it could answer
    assert (answer.names, answer.headers["connection"]) == (sorted(NAMES), "close")
    assert await stays.is_ended()
