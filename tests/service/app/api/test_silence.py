"""A database that falls silent, without closing anything: no request waits for it without end (law: timeouts)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession

from app.api import reading
from app.api.reading import Reader
from app.storage import engine as storage
from tests.support.valve import Valve

pytestmark = pytest.mark.service

SOCKET = ".s.PGSQL.5432"


async def test_every_list_ends_while_the_database_is_silent_and_works_again_after(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(reading, "CONNECT_TIMEOUT_SECONDS", 0.3)
    folder = make_url(database_url).query["host"]
    valve = Valve(Path(str(folder)) / SOCKET)
    async with valve.listening(tmp_path / SOCKET):
        reader = Reader(database_url.replace(str(folder), str(tmp_path)))
        assert await reader.servers()
        valve.shut()
        for _ in range(3):
            async with asyncio.timeout(5):
                with pytest.raises((TimeoutError, OSError, asyncpg.InterfaceError)):
                    await reader.servers()
                with pytest.raises((TimeoutError, OSError, asyncpg.InterfaceError)):
                    await reader.text("SELECT '1'")
        valve.open()
        async with asyncio.timeout(10):
            assert await reader.servers()
            assert await reader.text("SELECT '1'") == b"1"
        await reader.close()


async def test_every_transaction_ends_while_the_database_is_silent_and_works_again_after(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COMMAND_TIMEOUT_SECONDS", "CONNECT_TIMEOUT_SECONDS", "POOL_WAIT_SECONDS"):
        monkeypatch.setattr(storage, name, 0.3)
    folder = make_url(database_url).query["host"]
    valve = Valve(Path(str(folder)) / SOCKET)
    async with valve.listening(tmp_path / SOCKET):
        engine = storage.create_engine(database_url.replace(str(folder), str(tmp_path)), pool_size=1)

        async def transact(midway: Callable[[], None]) -> None:
            async with AsyncSession(engine) as session, session.begin():
                await session.execute(text("SELECT 1"))
                midway()
                await session.execute(text("SELECT 1"))

        for _ in range(3):  # the first falls silent within, the others before they begin
            async with asyncio.timeout(8):
                with pytest.raises(storage.OUTAGES):
                    await transact(valve.shut)
        valve.open()
        async with asyncio.timeout(8):
            await transact(lambda: None)
        await engine.dispose()
