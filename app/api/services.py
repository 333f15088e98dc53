"""What the routes work with: made once per process, opened and closed with it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy.ext.asyncio import AsyncEngine

from app.api.reading import Reader
from app.api.replay import ReplayGuard
from app.api.settings import Settings
from app.api.verification import GravalBootstrap
from app.api.verifier import Verifier
from app.storage.engine import create_engine
from app.validators.client import ValidatorClient
from app.validators.link import ValidatorLink
from app.validators.transport import Transport, new_http_client

REDIS_TIMEOUT_SECONDS = 5


@dataclass
class Services:
    """One process's connections. `link` is set while this process is the leader."""

    settings: Settings
    engine: AsyncEngine
    redis: Redis
    #: For the stream's blocking reads, which must not hold up the others.
    redis_stream: Redis
    http: httpx.AsyncClient
    reader: Reader
    verifier: Verifier
    clock: Callable[[], float]
    graval: GravalBootstrap | None = None
    link: ValidatorLink | None = None
    is_prepared: bool = False

    def validator(self, hotkey: str) -> ValidatorClient | None:
        """A client of one validator; None where settings do not name it."""
        entry = self.settings.validators.find(hotkey)
        if entry is None:
            return None
        return ValidatorClient(Transport(entry, self.settings.signer, self.http, clock=self.clock))


def _redis(url: str, read_timeout_seconds: float) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=16,
        timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        socket_timeout=read_timeout_seconds,
        retry=Retry(NoBackoff(), 1),  # one fresh connection after a dead one; outages are ours to report
    )
    return Redis.from_pool(pool)  # which closes the pool with itself


def _single(url: str) -> Redis:
    """A client for the replay guard, with one connection of its own: taking one from a pool costs more than using it.

    It has no read timeout, for which the library makes a task each time: the guard ends its own waits.
    """
    return Redis.from_url(
        url,
        single_connection_client=True,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        socket_timeout=None,
        retry=Retry(NoBackoff(), 1),
    )


@asynccontextmanager
async def open_services(
    settings: Settings, *, clock: Callable[[], float] = time.time, graval: GravalBootstrap | None = None
) -> AsyncIterator[Services]:
    """Make everything without connecting to anything: the API starts while databases are away, and says so."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(new_http_client())
        redis = await stack.enter_async_context(_redis(settings.redis_url.get_secret_value(), REDIS_TIMEOUT_SECONDS))
        redis_stream = await stack.enter_async_context(_redis(settings.redis_url.get_secret_value(), 30))
        engine = create_engine(settings.postgresql.get_secret_value())
        stack.push_async_callback(engine.dispose)
        reader = Reader(settings.postgresql.get_secret_value())
        stack.push_async_callback(reader.close)
        redis_replay = _single(settings.redis_url.get_secret_value())  # entering it would connect it
        stack.push_async_callback(redis_replay.aclose)
        verifier = Verifier(
            settings.signer.ss58, ReplayGuard(redis_replay), clock=clock, stage=settings.signature_stage
        )
        yield Services(settings, engine, redis, redis_stream, http, reader, verifier, clock, graval)
