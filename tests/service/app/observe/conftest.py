"""A monitor of two servers on a real Redis, without direct informers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from app.storage.engine import create_engine
from app.storage.migrate import migrate
from lab.services.redis import EmbeddedRedis
from tests.support.observe import MemoryInventory, RunningMonitor, monitor_settings, running_monitor


@pytest.fixture
def inventory() -> MemoryInventory:
    return MemoryInventory.of("gpu-1", "gpu-2")


@pytest.fixture
async def monitor(
    redis: Redis, redis_server: EmbeddedRedis, inventory: MemoryInventory
) -> AsyncIterator[RunningMonitor]:
    async with running_monitor(monitor_settings(redis_server.url), inventory) as running:
        yield running


@pytest.fixture
async def inventory_url(database_url: str) -> str:
    """A database that holds one server, `gpu-1`."""
    engine = create_engine(database_url)
    await migrate(engine)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO servers (server_id, validator, name, labels, gpu_count, cpu_per_gpu, memory_per_gpu,"
                " hourly_cost) VALUES ('u','v','gpu-1','{}',1,1,1,1)"
            )
        )
    await engine.dispose()
    return database_url
