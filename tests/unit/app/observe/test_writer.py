"""The event writer against a Redis that fails as told: what is acknowledged is applied, the rest is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError

from app.observe import writer as module
from app.observe.planning import Operation, plan_event
from app.observe.readings import ObservationUnavailableError
from app.observe.store import NotTrackedError
from app.observe.writer import EventWriter
from app.protocol.objects import EventType, ObjectEvent
from tests.support.kubernetes_objects import parsed, pod
from tests.support.waiting import until


def added(name: str) -> Operation:
    return plan_event(ObjectEvent(EventType.ADDED, parsed(pod(name))))


@dataclass
class FailingRedis:
    """Answers the script as Redis does, after `failures` calls that failed; -1 for clusters it does not know."""

    failures: list[Exception] = field(default_factory=list)
    unknown: frozenset[str] = frozenset()
    applied: list[str] = field(default_factory=list)
    calls: int = 0
    gate: asyncio.Event | None = None

    async def evalsha(self, _name: str, _keys: int, cluster: str, *arguments: object) -> list[int]:
        self.calls += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        return self._answer(cluster, arguments)

    async def eval(self, _script: str, _keys: int, cluster: str, *arguments: object) -> list[int]:
        return self._answer(cluster, arguments)

    def _answer(self, cluster: str, arguments: tuple[object, ...]) -> list[int]:
        if cluster in self.unknown:
            return [-1]
        names = [str(one) for one in arguments if isinstance(one, str) and one.startswith("chutes:")]
        self.applied += [f"{cluster} {name}" for name in names]
        return [1] * len(names)


@asynccontextmanager
async def running(redis: FailingRedis) -> AsyncIterator[EventWriter]:
    writer = EventWriter(cast("Redis", redis), lambda: 1_000.0)
    task = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_DELAYS_SECONDS", (0.0, 0.0, 0.0))


async def test_c32_a_redis_that_comes_back_in_time_gets_every_event_once() -> None:
    redis = FailingRedis([RedisConnectionError("gone"), TimeoutError()])
    async with running(redis) as writer:
        assert await writer.apply("gpu-1", [added("a"), added("b")]) == 2
    assert redis.applied == ["gpu-1 chutes:a", "gpu-1 chutes:b"]
    assert redis.calls == 3


async def test_c32_a_redis_that_stays_away_fails_those_who_wait_and_the_next_ones_are_served() -> None:
    redis = FailingRedis([RedisConnectionError("gone")] * 4)
    async with running(redis) as writer:
        with pytest.raises(ObservationUnavailableError, match="ConnectionError"):
            await writer.apply("gpu-1", [added("a")])
        assert await writer.apply("gpu-1", [added("b")]) == 1
    assert redis.applied == ["gpu-1 chutes:b"]


async def test_events_of_a_cluster_that_is_not_registered_fail_alone() -> None:
    redis = FailingRedis(unknown=frozenset({"gpu-2"}), gate=asyncio.Event())
    async with running(redis) as writer:
        first = asyncio.create_task(writer.apply("gpu-1", [added("a")]))
        await until(lambda: redis.calls == 1)
        others = [asyncio.create_task(writer.apply(f"gpu-{n}", [added("b")])) for n in (2, 3, 2)]
        await until(lambda: writer.depth == 3)
        assert redis.gate is not None
        redis.gate.set()
        assert await first == 1
        results = await asyncio.gather(*others, return_exceptions=True)
    assert [type(result) for result in results] == [NotTrackedError, int, NotTrackedError]
    assert redis.calls == 3, "what waited for one cluster went in one call"


async def test_a_redis_that_has_forgotten_the_script_is_given_it_again() -> None:
    redis = FailingRedis([NoScriptError()])
    async with running(redis) as writer:
        assert await writer.apply("gpu-1", [added("a")]) == 1
    assert redis.applied == ["gpu-1 chutes:a"]


async def test_what_waits_when_the_writer_ends_fails_and_is_not_left_waiting() -> None:
    redis = FailingRedis(gate=asyncio.Event())
    async with running(redis) as writer:
        applying = asyncio.create_task(writer.apply("gpu-1", [added("a")]))
        await until(lambda: redis.calls == 1)
        waiting = asyncio.create_task(writer.apply("gpu-1", [added("b")]))
        await until(lambda: writer.depth == 1)
    for task in (applying, waiting):
        with pytest.raises(ObservationUnavailableError, match="stopping"):
            await asyncio.wait_for(task, 5)


async def test_a_caller_who_has_gone_does_not_hold_up_the_others() -> None:
    redis = FailingRedis(gate=asyncio.Event())
    async with running(redis) as writer:
        applying = asyncio.create_task(writer.apply("gpu-1", [added("a")]))
        await until(lambda: redis.calls == 1)
        gone = asyncio.create_task(writer.apply("gpu-1", [added("b")]))
        stays = asyncio.create_task(writer.apply("gpu-1", [added("c")]))
        await until(lambda: writer.depth == 2)
        gone.cancel()
        assert redis.gate is not None
        redis.gate.set()
        assert (await applying, await stays) == (1, 1)
