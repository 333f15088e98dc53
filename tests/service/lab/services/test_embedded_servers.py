"""The embedded servers are the real ones, and outages can be played with them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from lab.services.postgres import EmbeddedPostgres, temporary_folder
from lab.services.redis import EmbeddedRedis

pytestmark = pytest.mark.service


async def test_a_database_of_its_own_answers_over_asyncpg(database_url: str) -> None:
    engine = create_async_engine(database_url)
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT 40 + 2"))).scalar_one() == 42
    await engine.dispose()


async def test_redis_answers(redis: Redis) -> None:
    await redis.set("k", "v")
    assert await redis.get("k") == b"v"


async def test_a_restarted_redis_keeps_its_port_and_has_forgotten_everything(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        port = server.port
        async with Redis.from_url(server.url) as client:
            await client.set("k", "v")
        server.stop()
        assert not server.is_running
        server.start()
        assert server.port == port
        async with Redis.from_url(server.url) as client:
            assert await client.get("k") is None


def test_a_stopped_postgres_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"call start\(\) first"):
        EmbeddedPostgres(tmp_path).create_database("x")


@pytest.mark.parametrize("survives", [True, False])
def test_a_postgres_keeps_its_data_over_a_restart_and_writes_through_only_where_it_must(survives: bool) -> None:
    folder = temporary_folder()
    try:
        server = EmbeddedPostgres(folder / "data", survives_power_loss=survives)
        with server:
            assert answer(server, "SHOW fsync") == ("on" if survives else "off")
            server.create_database("kept")
        with server:
            assert answer(server, "SELECT datname FROM pg_database WHERE datname = 'kept'") == "kept"
    finally:
        shutil.rmtree(folder)


def answer(server: EmbeddedPostgres, question: str) -> str:
    """What the server's own client prints."""
    command = [str(server.binaries / "psql"), "-At", "-h", str(server.folder), "-U", "postgres", "-c", question]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
