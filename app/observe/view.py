"""Reads the fleet cache (`readings.FleetView`). Reads one cluster in one transaction; writes nothing.

Nothing here blocks the event loop for long: big answers are decoded in slices.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.observe.entries import decode_observed
from app.observe.keys import (
    CHANGES,
    INDEXED_LABELS,
    entries_key,
    held_key,
    index_key,
    label_term,
    name_term,
    node_term,
    state_key,
)
from app.observe.readings import (
    ALL_KINDS,
    AmbiguousObjectError,
    Change,
    ChangeKind,
    ClusterHealth,
    ClusterReading,
    ClusterState,
    ObservationUnavailableError,
    ObservedObject,
)
from app.observe.store import parse_hold
from app.protocol.channels import ResourceType, health_key, resource_field, resources_key

_TIMEOUT_SECONDS: Final = 10.0
_SLICE: Final = 1000
_BLOCK_MS: Final = 5000
_StreamAnswer = Collection[tuple[bytes, Collection[tuple[bytes, Mapping[bytes, bytes]]]]]
_HEALTH_PATTERN: Final = "clusters:*:health"


class RedisFleetView:
    """The fleet cache in Redis.

    Args:
        redis: a client that answers bytes.
        now: wall clock, Unix seconds.
    """

    def __init__(self, redis: Redis, now: Callable[[], float]) -> None:
        self._redis = redis
        self._now = now

    async def cluster_names(self) -> tuple[str, ...]:
        async with _reading():
            found = [key async for key in self._redis.scan_iter(_HEALTH_PATTERN, count=1000)]
        return tuple(sorted({key.decode().removeprefix("clusters:").removesuffix(":health") for key in found}))

    async def health(self, cluster: str) -> ClusterHealth:
        async with _reading(), self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(health_key(cluster))
            pipe.hget(state_key(cluster), "received_ms")
            status, received = await pipe.execute()
        return decode_health(cluster, status, received)

    async def read_cluster(self, cluster: str, kinds: Collection[ResourceType] = ALL_KINDS) -> ClusterReading:
        ordered = tuple(dict.fromkeys(kinds))
        async with _reading(), self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(health_key(cluster))
            pipe.hgetall(state_key(cluster))
            for kind in ordered:
                pipe.hgetall(entries_key(cluster, kind))
                pipe.hkeys(resources_key(cluster, kind))
                pipe.hgetall(held_key(cluster, kind))
            status, state, *answers = await pipe.execute()
        objects: list[ObservedObject] = []
        for place, kind in enumerate(ordered):
            entries, stored, held = answers[3 * place : 3 * place + 3]
            objects += await _decode(cluster, kind, entries, set(stored), held)
        completed = state.get(b"completed_ms")
        return ClusterReading(
            cluster=cluster,
            health=decode_health(cluster, status, state.get(b"received_ms")),
            generation=int(state.get(b"generation", b"0")),
            completed_at=None if completed is None else _moment(completed),
            read_at=datetime.fromtimestamp(self._now(), UTC),
            objects=tuple(objects),
        )

    async def read_fleet(self, kinds: Collection[ResourceType] = ALL_KINDS) -> tuple[ClusterReading, ...]:
        return tuple([await self.read_cluster(name, kinds) for name in await self.cluster_names()])

    async def find_by_label(self, kind: ResourceType, label: str, value: str) -> tuple[ObservedObject, ...]:
        if label not in INDEXED_LABELS:
            raise ValueError(f"label {label} is not indexed; indexed are {', '.join(INDEXED_LABELS)}")
        return await self._find(label_term(label, value), kind)

    async def find_on_node(self, node_name: str) -> tuple[ObservedObject, ...]:
        return await self._find(node_term(node_name), ResourceType.POD)

    async def locate(self, kind: ResourceType, namespace: str | None, name: str) -> ObservedObject | None:
        found = await self._find(name_term(kind, resource_field(namespace, name)), kind)
        if len(found) > 1:
            clusters = ", ".join(item.cluster for item in found)
            raise AmbiguousObjectError(f"{kind} {namespace}/{name} is in several clusters: {clusters}")
        return found[0] if found else None

    async def body(self, item: ObservedObject) -> bytes | None:
        async with _reading():
            field = resource_field(item.namespace, item.name)
            return cast("bytes | None", await _answer(self._redis.hget(resources_key(item.cluster, item.kind), field)))

    async def bodies(self, cluster: str, kind: ResourceType) -> Mapping[str, bytes]:
        """Every body of a cluster's objects of one kind, by field. Large: for the dashboard only."""
        async with _reading():
            answer = cast("dict[bytes, bytes]", await _answer(self._redis.hgetall(resources_key(cluster, kind))))
            return {field.decode(): body for field, body in answer.items()}

    async def position(self) -> str:
        async with _reading():
            last = cast("list[tuple[bytes, object]]", await self._redis.xrevrange(CHANGES, count=1))
        return last[0][0].decode() if last else "0-0"

    async def changes(self, after: str) -> AsyncIterator[Change]:
        position = after
        while True:
            async with _reading(_TIMEOUT_SECONDS + _BLOCK_MS / 1000):
                answer = await self._redis.xread({CHANGES: position}, count=500, block=_BLOCK_MS)
            for _, records in cast("_StreamAnswer", answer or ()):
                for raw_position, fields in records:
                    position = raw_position.decode()
                    yield _change(position, fields)

    async def _find(self, term: str, kind: ResourceType) -> tuple[ObservedObject, ...]:
        async with _reading():
            members = cast("set[bytes]", await _answer(self._redis.smembers(index_key(term))))
            places = [tuple(member.decode().split("\t", 2)) for member in sorted(members)]
            places = [place for place in places if place[1] == kind.value]
            pipe = self._redis.pipeline(transaction=True)
            for cluster, _, field in places:
                pipe.hget(entries_key(cluster, kind), field)
                pipe.hexists(resources_key(cluster, kind), field)
                pipe.hget(held_key(cluster, kind), field)
            answers = await pipe.execute()
        found = []
        for place, (cluster, _, _) in enumerate(places):
            entry, stored, held = answers[3 * place : 3 * place + 3]
            if entry is not None and stored:
                found.append(decode_observed(entry, cluster, kind, parse_hold(held).uid if held else None))
        return tuple(found)


def decode_health(cluster: str, status: Mapping[bytes, bytes], received_ms: bytes | None) -> ClusterHealth:
    """Health from the public hash; one without a valid state counts as unhealthy, one that is not there as absent."""
    if not status:
        return ClusterHealth(cluster, ClusterState.ABSENT)
    message = status.get(b"error_message", b"").decode() or None
    received = None if received_ms is None else _moment(received_ms)
    try:
        state = ClusterState(status.get(b"state", b"").decode())
    except ValueError:
        return ClusterHealth(cluster, ClusterState.UNHEALTHY, received, "The stored health is damaged.")
    return ClusterHealth(cluster, state, received, message)


async def _decode(
    cluster: str,
    kind: ResourceType,
    entries: Mapping[bytes, bytes],
    stored: Collection[bytes],
    held: Mapping[bytes, bytes],
) -> list[ObservedObject]:
    objects = []
    for place, (field, text) in enumerate(sorted(entries.items())):
        if place % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)
        if field in stored:
            held_uid = parse_hold(held[field]).uid if field in held else None
            objects.append(decode_observed(text, cluster, kind, held_uid))
    return objects


def _change(position: str, fields: Mapping[bytes, bytes]) -> Change:
    namespace, _, name = fields[b"field"].decode().partition(":")
    return Change(
        position=position,
        cluster=fields[b"cluster"].decode(),
        kind=ResourceType(fields[b"kind"].decode()),
        change=ChangeKind(fields[b"event"].decode()),
        namespace=None if namespace == "None" else namespace,
        name=name,
        uid=fields[b"uid"].decode(),
        resource_version=fields[b"version"].decode(),
    )


def _moment(milliseconds: bytes) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


async def _answer(answer: Awaitable[Any] | Any) -> object:
    # redis' stubs say "awaitable or value" for a client that is always asynchronous
    return await answer


@asynccontextmanager
async def _reading(timeout_seconds: float = _TIMEOUT_SECONDS) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_seconds):
            yield
    except (RedisError, OSError, TimeoutError) as error:
        raise ObservationUnavailableError(f"the fleet cache cannot be read: {type(error).__name__}") from error
