"""An answer that trickles in is not waited for without end, however short each silence is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from app.validators import client as client_module
from app.validators import transport
from app.validators.client import ValidatorClient
from app.validators.errors import UnreachableError
from app.validators.transport import Transport
from tests.support.api import NOWHERE
from tests.support.control import MINER


class _Trickle(httpx.AsyncByteStream):
    """Now and then a byte, for ever."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b"\n"
            await asyncio.sleep(0.01)


def _client() -> ValidatorClient:
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, stream=_Trickle())))
    return ValidatorClient(Transport(NOWHERE, MINER, http, clock=time.time))


async def test_a_list_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LISTING_TIMEOUT_SECONDS", 0.02)
    async with asyncio.timeout(10):
        with pytest.raises(UnreachableError, match="/miner/chutes/: the answer did not end within"):
            await _client().chutes()


async def test_an_answer_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ATTEMPTS", 2)
    monkeypatch.setattr(client_module, "SHORT_TIMEOUT_SECONDS", 0.02)
    async with asyncio.timeout(10):
        with pytest.raises(UnreachableError, match="/nodes/supported: the answer did not end within"):
            await _client().supported_gpus()
