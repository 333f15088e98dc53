"""The embedded servers are the real ones, and outages can be played with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from lab.services.postgres import EmbeddedPostgres
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
