"""Applies events to the cache, many in one round trip: what arrives while Redis works goes with the next step.

An event is acknowledged only after Redis has it. Order is kept per cluster. A Redis that cannot be reached is tried
again for a while before the event fails, because agents of the public kind never send a failed event again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from app.observe.planning import Operation
from app.observe.readings import ObservationUnavailableError
from app.observe.scripts import APPLY
from app.observe.store import NotTrackedError, apply_arguments

_BATCH: Final = 128
_RETRY_DELAYS_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
_CALL_TIMEOUT_SECONDS: Final = 10.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Waiting:
    cluster: str
    operations: tuple[Operation, ...]
    done: asyncio.Future[int]


class EventWriter:
    """Runs in a task of its own (`run`); `apply` waits for it.

    Args:
        redis: a client that answers bytes.
        now: wall clock, Unix seconds.
    """

    def __init__(self, redis: Redis, now: Callable[[], float]) -> None:
        self._redis = redis
        self._now = now
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._sha: str | None = None

    @property
    def depth(self) -> int:
        """Requests that wait for their turn."""
        return self._queue.qsize()

    async def apply(self, cluster: str, operations: Sequence[Operation]) -> int:
        """Apply a cluster's operations in order; how many changed something.

        Raises:
            NotTrackedError: the cluster is not registered.
            ObservationUnavailableError: Redis could not be reached in time; nothing is known to be applied.
        """
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Waiting(cluster, tuple(operations), done))
        return await done

    async def run(self) -> None:
        """Apply what is waiting, for ever. Ends by cancellation; then everything still waiting fails."""
        batch: list[_Waiting] = []
        try:
            while True:
                batch = [await self._queue.get()]
                while len(batch) < _BATCH and not self._queue.empty():
                    batch.append(self._queue.get_nowait())
                by_cluster: dict[str, list[_Waiting]] = {}
                for waiting in batch:
                    by_cluster.setdefault(waiting.cluster, []).append(waiting)
                for cluster, group in by_cluster.items():
                    await self._apply_group(cluster, group)
        finally:
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            for waiting in batch:
                if not waiting.done.done():
                    waiting.done.set_exception(ObservationUnavailableError("the monitor is stopping"))

    async def _apply_group(self, cluster: str, group: list[_Waiting]) -> None:
        operations = tuple(operation for waiting in group for operation in waiting.operations)
        try:
            codes = await self._call(cluster, operations)
        except (RedisError, OSError, TimeoutError) as error:
            failure = ObservationUnavailableError(f"Redis did not take the event: {type(error).__name__}")
            for waiting in group:
                _fail(waiting.done, failure)
            return
        if codes == [-1]:
            for waiting in group:
                _fail(waiting.done, NotTrackedError(f"cluster {cluster} is not registered"))
            return
        start = 0
        for waiting in group:
            end = start + len(waiting.operations)
            if not waiting.done.done():
                waiting.done.set_result(sum(codes[start:end]))
            start = end

    async def _call(self, cluster: str, operations: tuple[Operation, ...]) -> list[int]:
        for delay in (*_RETRY_DELAYS_SECONDS, None):
            arguments = apply_arguments(cluster, int(self._now() * 1000), operations, mode="event")
            try:
                async with asyncio.timeout(_CALL_TIMEOUT_SECONDS):
                    return await self._evaluate(arguments)
            except (RedisError, OSError, TimeoutError) as error:
                if delay is None:
                    raise
                _log.warning("redis did not answer", error=type(error).__name__, retry_in_seconds=delay)
                await asyncio.sleep(delay)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _evaluate(self, arguments: list[str | bytes | int]) -> list[int]:
        if self._sha is None:
            self._sha = hashlib.sha1(APPLY.encode(), usedforsecurity=False).hexdigest()  # how Redis names a script
        try:
            return cast("list[int]", await self._redis.evalsha(self._sha, 0, *arguments))
        except NoScriptError:
            return cast("list[int]", await self._redis.eval(APPLY, 0, *arguments))


def _fail(done: asyncio.Future[int], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
