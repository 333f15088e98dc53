"""Finds clusters whose agent knows something else than the cache, by digests on heartbeats (spec: agent-monitor 20.4).

Only asks for lists; changes nothing about objects. Equal digests of every kind are as good as a complete list. Where a
direct informer follows a cluster, that is the authority and digests are not compared: the cache may well be ahead of
the agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, cast

from redis.asyncio import Redis

from app.observe.entries import decode_known
from app.observe.keys import entries_key, state_key
from app.observe.metrics import MonitorMetrics
from app.observe.monitor import Monitor
from app.protocol.channels import ResourceType, resources_key
from app.protocol.digests import Digest, digest_of

_SPACING_SECONDS: Final = 60
_TIMEOUT_SECONDS: Final = 10.0
_SLICE: Final = 1000
_SUSPECTS: Final = "digest_suspects"
_ASKED_AT: Final = "digest_asked_ms"


class DigestCheck:
    """Compares what agents say with the cache.

    Args:
        redis: a client that answers bytes.
        is_followed: whether a direct informer follows a cluster now.
        now: wall clock, Unix seconds.
    """

    def __init__(
        self,
        redis: Redis,
        monitor: Monitor,
        metrics: MonitorMetrics,
        is_followed: Callable[[str], bool],
        now: Callable[[], float],
    ) -> None:
        self._redis = redis
        self._monitor = monitor
        self._metrics = metrics
        self._is_followed = is_followed
        self._now = now

    async def lists_wanted(self, cluster: str, told: Mapping[ResourceType, Digest]) -> tuple[ResourceType, ...]:
        """The kinds of which the agent should send a list: those that differ for the second heartbeat in a row.

        One difference may be an event on its way. At most one request a minute and cluster.

        Raises:
            redis.RedisError, TimeoutError: the cache could not be read; nothing is known.
        """
        if not told or self._is_followed(cluster):
            return ()
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            different = [kind for kind, digest in told.items() if await self._digest(cluster, kind) != digest]
            if not different and told.keys() == set(ResourceType):
                await self._monitor.confirm(cluster)
            suspects, asked = await cast("Any", self._redis.hmget(state_key(cluster), [_SUSPECTS, _ASKED_AT]))
            wanted = [kind for kind in different if kind.value in (suspects or b"").decode().split(",")]
            now_ms = int(self._now() * 1000)
            if wanted and _is_too_soon(asked, now_ms):
                return ()
            await self._remember(cluster, different, now_ms if wanted else None)
        if wanted:
            self._metrics.resyncs.labels("digest").inc()
        return tuple(wanted)

    async def _digest(self, cluster: str, kind: ResourceType) -> Digest:
        pipe = self._redis.pipeline(transaction=True)
        pipe.hgetall(entries_key(cluster, kind))
        pipe.hkeys(resources_key(cluster, kind))
        entries, fields = await pipe.execute()
        stored = set(fields)
        known = []
        for place, (field, text) in enumerate(entries.items()):
            if place % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
            if field in stored:
                entry = decode_known(text)
                known.append((entry.uid, entry.version))
        return digest_of(known)

    async def _remember(self, cluster: str, different: Collection[ResourceType], asked_ms: int | None) -> None:
        pipe = self._redis.pipeline(transaction=True)
        pipe.hset(state_key(cluster), _SUSPECTS, ",".join(different))
        if asked_ms is not None:
            pipe.hset(state_key(cluster), _ASKED_AT, str(asked_ms))
        await pipe.execute()


def _is_too_soon(asked: bytes | None, now_ms: int) -> bool:
    """Whether a list was asked for less than a minute ago; a time to come says nothing."""
    return 0 <= now_ms - int(asked or 0) < _SPACING_SECONDS * 1000
