"""Bring a database to the newest schema: a fresh one, one of ours, or one of the public miner, in place."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.storage.engine import create_engine, lock_key

MIGRATION_TIMEOUT_SECONDS: Final = 300
_FOLDER: Final = Path(__file__).parent / "migrations"


async def migrate(engine: AsyncEngine) -> None:
    """Run all pending revisions in one transaction; programs that start together wait for the first.

    It has a connection of its own: no statement of the engine's other work may wait as long as a revision of large
    tables takes.

    Raises:
        TimeoutError: another program held the migration lock, or the revisions ran, for five minutes.
    """
    patient = create_engine(engine.url, pool_size=1, command_timeout_seconds=MIGRATION_TIMEOUT_SECONDS)
    try:
        async with asyncio.timeout(MIGRATION_TIMEOUT_SECONDS), patient.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key("migrate")})
            await connection.run_sync(_upgrade)
    finally:
        await patient.dispose()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
