"""Whatever answers at a validator's address, its feed tries again: a proxy without its server, no socket.io at all."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from app.protocol.validators import ValidatorEntry
from app.validators.feed import Feed, Waits
from tests.support.control import MINER, VALIDATOR
from tests.support.serving import serving
from tests.support.waiting import running, until

pytestmark = pytest.mark.service

QUICK = Waits(first_seconds=0.02, longest_seconds=0.05, refused_seconds=0.05)


class Strange:
    """Accepts every connection, says one thing at most, and closes."""

    def __init__(self, said: str | None) -> None:
        self.connections = 0
        self._said = said

    async def answer(self, socket: WebSocket) -> None:
        self.connections += 1
        await socket.accept()
        if self._said is not None:
            await socket.send_text(self._said)
        await socket.close(1012)

    def app(self) -> Starlette:
        return Starlette(routes=[WebSocketRoute("/socket.io/", self.answer)])


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What the test leaves behind is collected here: a connection that is still open would be a warning, and fail."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()


async def _nothing() -> None:
    """Nobody waits."""


def _feed(url: str) -> Feed:
    entry = ValidatorEntry(hotkey=VALIDATOR.ss58, api=url, socket=url)
    return Feed(
        entry, MINER, on_message=lambda _: None, on_ready=_nothing, clock=time.time, random=lambda: 0.5, waits=QUICK
    )


@pytest.mark.parametrize(
    "said",
    [None, "hello", "", "0{}", '0{"sid":"s","upgrades":[],"pingInterval":"x","pingTimeout":1}', '0{"sid":"s"'],
    ids=["nothing", "a word", "an empty word", "an opening without fields", "an odd interval", "half an opening"],
)
async def test_a_feed_outlives_every_answer(said: str | None) -> None:
    strange = Strange(said)

    async with serving(strange.app()) as url:
        feed = _feed(url)
        async with running(feed.run()):
            await until(lambda: strange.connections >= 3)
            assert not feed.is_ready
