"""A monitor of two servers on a real Redis, without direct informers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

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
