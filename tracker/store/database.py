"""Opens the change store: SQLite by default, PostgreSQL by URL. One writer at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tracker.errors import StorageError
from tracker.store.schema import metadata
from tracker.store.spans import fill_spans

#: Key of the advisory lock by which writers on PostgreSQL wait for each other.
_LOCK_KEY: Final = 0x7472_6163_6B65


def store_url(place: str) -> str:
    """The SQLAlchemy URL of a store given as a URL or as a path of an SQLite file."""
    if place.startswith("postgresql://"):
        return place.replace("postgresql://", "postgresql+asyncpg://", 1)
    return place if "://" in place else f"sqlite+aiosqlite:///{Path(place).expanduser().absolute()}"


def shown_place(place: str) -> str:
    """A store's place as it may be shown: without its password."""
    return make_url(place).render_as_string(hide_password=True) if "://" in place else place


@asynccontextmanager
async def open_engine(place: str) -> AsyncIterator[AsyncEngine]:
    """An engine with its tables made.

    Raises:
        StorageError: the database cannot be reached.
    """
    url = store_url(place)
    if url.startswith("sqlite"):
        Path(url.split(":///", 1)[1]).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    try:
        async with writing(engine) as connection:  # two first runs at once must not both make the tables
            await connection.run_sync(metadata.create_all)
            await fill_spans(connection)
        yield engine
    except (DBAPIError, OSError) as error:
        reason = str(getattr(error, "orig", error)).splitlines()[0]
        raise StorageError(f"the store {engine.url!r} failed: {reason}") from error
    finally:
        await engine.dispose()


def _prepare_sqlite(connection: object, _record: object) -> None:
    """Readers beside the one writer, and waiting instead of failing when it is busy."""
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA busy_timeout=30000")
    cursor.close()


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction in which nobody else writes."""
    async with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        else:
            await connection.exec_driver_sql(
                "BEGIN IMMEDIATE"
            )  # the driver's own begin comes with the first write only
        yield connection
