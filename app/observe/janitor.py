"""The writes that consumers of the cache may make (`readings.FleetJanitor`): forget a cluster, stop trusting one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.observe.readings import ClusterState, ObservationUnavailableError
from app.observe.scripts import CLEAR, SET_STATE
from app.observe.store import iso_timestamp

_TIMEOUT_SECONDS: Final = 10.0


class RedisFleetJanitor:
    """Consumers' writes on the cache in Redis.

    Args:
        now: wall clock, Unix seconds.
    """

    def __init__(self, redis: Redis, now: Callable[[], float]) -> None:
        self._redis = redis
        self._now = now

    async def remove_cluster(self, cluster: str) -> None:
        await self._evaluate(CLEAR, cluster, iso_timestamp(int(self._now() * 1000)), "")

    async def mark_unhealthy(self, cluster: str, reason: str) -> None:
        milliseconds = int(self._now() * 1000)
        await self._evaluate(SET_STATE, cluster, "", ClusterState.UNHEALTHY.value, reason, milliseconds, "")

    async def _evaluate(self, script: str, *arguments: str | int) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await cast("Any", self._redis.eval(script, 0, *arguments))
        except (RedisError, OSError, TimeoutError) as error:
            raise ObservationUnavailableError(f"the fleet cache cannot be written: {type(error).__name__}") from error
