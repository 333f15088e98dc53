"""Takes whole lists in without stalling the event loop: small ones in a thread, big ones in a process of their own.

A 10,000-pod snapshot is 40 MB; parsing it holds the interpreter for longer than any other agent's heartbeat may wait.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from redis import Redis

from app.observe.planning import ListReport, Source
from app.observe.store import SyncMode, SyncResult, take_in
from app.protocol.channels import ResourceType
from app.protocol.objects import parse_snapshot

_INLINE_BYTES: Final = 1 << 20
_REDIS_TIMEOUT_SECONDS: Final = 30.0
_clients: dict[str, Redis] = {}  # one per URL in each worker process; never touched in the main one


class BodyTooLargeError(ValueError):
    """A request body is over the limit of its route."""


@dataclass(frozen=True)
class Job:
    """How to take in one list. A body that says that it is partial is taken in as one, whatever the mode."""

    cluster: str
    mode: SyncMode
    source: Source
    now_ms: int
    agent: str = ""
    versions: Mapping[ResourceType, str] = field(default_factory=dict)
    force: frozenset[tuple[ResourceType, str]] = frozenset()


class Spool:
    """A body that stays in memory while it is small and goes to a private file when it is not. Use as `with`."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._descriptor: int | None = None
        self._hash = hashlib.sha256()
        self.size = 0
        self.path: Path | None = None

    def write(self, chunk: bytes) -> None:
        """Add a piece."""
        self.size += len(chunk)
        self._hash.update(chunk)
        if self._descriptor is None and self.size > _INLINE_BYTES:
            self._descriptor, name = tempfile.mkstemp(prefix="observe-")
            self.path = Path(name)
            for earlier in self._chunks:
                _write_all(self._descriptor, earlier)
            self._chunks = []
        if self._descriptor is None:
            self._chunks.append(chunk)
        else:
            _write_all(self._descriptor, chunk)

    @property
    def digest(self) -> str:
        """Lower-case hex SHA-256 of everything written."""
        return self._hash.hexdigest()

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self._chunks) if self.path is None else self.path.read_bytes()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        if self.path is not None:
            self.path.unlink(missing_ok=True)


async def fill(spool: Spool, chunks: AsyncIterator[bytes], limit_bytes: int) -> None:
    """Receive a body.

    Raises:
        BodyTooLargeError: it is longer than the limit; the rest is not read.
    """
    async for chunk in chunks:
        spool.write(chunk)
        if spool.size > limit_bytes:
            raise BodyTooLargeError(f"body is over {limit_bytes} bytes")


class ListIntake:
    """Use as `async with`: leaving ends the worker process.

    Args:
        redis_url: where the cache is.
    """

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self._redis = Redis.from_url(redis_url, socket_timeout=_REDIS_TIMEOUT_SECONDS)
        self._pool: ProcessPoolExecutor | None = None
        self._locks: dict[str, asyncio.Lock] = {}

    async def take_in(self, spool: Spool, job: Job) -> SyncResult:
        """Take in a list in the form of a snapshot body; lists of one cluster one after the other.

        Raises:
            MalformedObjectError: the body is not a snapshot.
            NotTrackedError: the mode needs a tracked cluster and this one is not.
            redis.RedisError: Redis did not take it; nothing was changed.
        """
        async with self._locks.setdefault(job.cluster, asyncio.Lock()):
            if spool.path is None:
                return await asyncio.to_thread(_take_in_body, self._redis, spool.read(), job)
            try:
                return await self._in_process(spool.path, job)
            except BrokenProcessPool:  # the worker was killed, most likely for memory: once more in a new one
                self._pool = None
                return await self._in_process(spool.path, job)

    async def _in_process(self, path: Path, job: Job) -> SyncResult:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn"))
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, take_in_file, self._url, str(path), job)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        self._redis.close()


def take_in_file(redis_url: str, path: str, job: Job) -> SyncResult:
    """What the worker process runs."""
    if redis_url not in _clients:
        _clients[redis_url] = Redis.from_url(redis_url, socket_timeout=_REDIS_TIMEOUT_SECONDS)
    return _take_in_body(_clients[redis_url], Path(path).read_bytes(), job)


def _take_in_body(redis: Redis, body: bytes, job: Job) -> SyncResult:
    snapshot = parse_snapshot(body)
    mode = SyncMode.PART if snapshot.is_partial else job.mode
    report = ListReport(
        job.source, snapshot.objects, snapshot.skipped, job.versions, job.force, resets_versions=snapshot.is_partial
    )
    return take_in(redis, job.cluster, report, mode, job.now_ms, agent=job.agent)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
