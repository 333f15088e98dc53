"""Connections to PostgreSQL: the engine, what counts as an outage, and advisory locks.

Nothing here is made at import: each program makes one engine and passes it on.
"""

from __future__ import annotations

import zlib
from typing import Final

import asyncpg
import orjson
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

CONNECT_TIMEOUT_SECONDS: Final = 5
COMMAND_TIMEOUT_SECONDS: Final = 30
POOL_WAIT_SECONDS: Final = 5

#: What a driver or the pool raises while the server is away, starting or stopping. A query's own mistake is none of it.
OUTAGES: Final = (OSError, TimeoutError, PoolTimeout, InterfaceError, OperationalError)
#: Classes of SQLSTATE: data exception, integrity constraint violation.
_REFUSALS: Final = frozenset({"22", "23"})
_OUTAGE_CAUSES: Final = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)


def create_engine(url: str | URL, *, pool_size: int = 8, command_timeout_seconds: float | None = None) -> AsyncEngine:
    """An engine over asyncpg whose every wait has an end and whose dead connections are noticed before use."""
    seconds = COMMAND_TIMEOUT_SECONDS if command_timeout_seconds is None else command_timeout_seconds
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_pre_ping=True,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={"timeout": CONNECT_TIMEOUT_SECONDS, "command_timeout": seconds},
    )


def is_outage(error: BaseException) -> bool:
    """Whether an error means that the database is away, and the same call may succeed later."""
    if isinstance(error, DBAPIError):
        return (
            error.connection_invalidated
            or isinstance(error, InterfaceError | OperationalError)
            or any(isinstance(cause, _OUTAGE_CAUSES) for cause in _causes(error))
        )
    return isinstance(error, (*OUTAGES, *_OUTAGE_CAUSES))


def is_refusal(error: BaseException) -> bool:
    """Whether the database refused a value or a row: the same statement will never succeed."""
    return any(str(getattr(cause, "sqlstate", None) or "")[:2] in _REFUSALS for cause in _causes(error))


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and len(found) < 10:
        found.append(current)
        current = current.__cause__ or getattr(current, "orig", None)
    return found


def lock_key(name: str) -> int:
    """The advisory lock number of a name; stable over releases, in the range of a positive 32-bit integer."""
    return zlib.crc32(f"headframe:{name}".encode()) & 0x7FFFFFFF


async def try_lock(connection: AsyncConnection, name: str) -> bool:
    """Take a session-level advisory lock without waiting; it is held until the connection ends or `unlock`."""
    found = await connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": lock_key(name)})
    return bool(found.scalar_one())


async def is_locked(connection: AsyncConnection, name: str) -> bool:
    """Whether anybody has a session-level advisory lock of this database."""
    statement = """SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = 0
        AND objid = :key AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"""
    return bool((await connection.execute(text(statement), {"key": lock_key(name)})).scalar_one())


async def unlock(connection: AsyncConnection, name: str) -> None:
    """Give a session-level advisory lock back."""
    await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": lock_key(name)})
