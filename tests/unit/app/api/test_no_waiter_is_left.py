"""Requests that share a round trip all get an answer, also when a library fails in a way that nobody documented."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from redis.asyncio import Redis

from app.api.errors import UnavailableError
from app.api.reading import Reader
from app.api.replay import ReplayGuard


class _Broken:
    """A client whose connection somebody closed in the middle: what then comes is no error of Redis'."""

    def __init__(self) -> None:
        self.is_broken = True

    async def evalsha(self, *arguments: object) -> list[int]:
        if self.is_broken:
            raise AttributeError("'NoneType' object has no attribute 'read'")
        return [1] * len(str(arguments[-1]).split())


async def test_tokens_that_cannot_be_asked_about_are_refused_and_later_ones_are_asked() -> None:
    redis = _Broken()
    guard = ReplayGuard(cast("Redis", redis))
    async with asyncio.timeout(5):
        for waiting in [guard.is_fresh("a"), guard.is_fresh("b")]:
            with pytest.raises(UnavailableError):
                await waiting
        redis.is_broken = False
        assert await guard.is_fresh("c")


async def test_an_answer_of_another_length_refuses_instead_of_letting_requests_wait() -> None:
    class Short(_Broken):
        async def evalsha(self, *_: object) -> list[int]:
            return []

    guard = ReplayGuard(cast("Redis", Short()))
    async with asyncio.timeout(5):
        with pytest.raises(UnavailableError):
            await guard.is_fresh("a")


async def test_a_list_that_fails_oddly_fails_for_all_who_wait_and_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Connection:
        async def fetchval(self, _: str) -> str:
            return "[]"

    reader, looks = Reader("postgresql+asyncpg://nowhere/none"), 0

    async def connected() -> Connection:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise AttributeError("'NoneType' object has no attribute 'fetchval'")
        return Connection()

    monkeypatch.setattr(reader, "_connected", connected)
    async with asyncio.timeout(5):
        for waiting in [reader.servers(), reader.servers()]:
            with pytest.raises(AttributeError):
                await waiting
        assert await reader.servers() == b"[]"
