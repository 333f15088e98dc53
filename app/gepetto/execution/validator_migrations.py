"""One-time calls to validators, by the public table of them (spec: gepetto 4.5, protocol 17).

A database that was taken over from the public programs has none, some or all behind it. What is written down is never
run again; what failed is tried again, and holds nothing else up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.gepetto.ports import UnavailableError, ValidatorPort, ValidatorRefusedError
from app.storage.engine import OUTAGES

log = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 60.0
STATEMENT_SECONDS: Final = 30.0

#: Server id, name and validator.
Servers = tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Migration:
    """One migration. `number` is `YYYYMMDDXX`; newer ones are larger."""

    number: str
    name: str
    run: Callable[[Servers, Mapping[str, ValidatorPort]], Awaitable[None]]


async def tell_names(servers: Servers, validators: Mapping[str, ValidatorPort]) -> None:
    """Tell each server's validator its name. One that does not know the server, or refuses for good, is left at that.

    Raises:
        UnavailableError: a validator did not answer.
    """
    for server_id, name, validator in servers:
        port = validators.get(validator)
        if port is None:
            log.warning("a server's name is not told: its validator is not configured", server=name)
            continue
        try:
            known = await port.rename_server(server_id, name)
            log.info("a server's name was told", server=name, known=known)
        except ValidatorRefusedError as error:
            if not error.is_lasting:
                raise
            log.warning("a validator refuses a server's name", server=name, reason=str(error))


MIGRATIONS: Final = (Migration("2025013101", "SyncServerKeys", tell_names),)


async def run_pending(
    engine: AsyncEngine, validators: Mapping[str, ValidatorPort], migrations: tuple[Migration, ...] = MIGRATIONS
) -> tuple[str, ...]:
    """Run what is newer than the newest that is written down, in order; the numbers of those that were run.

    Raises:
        UnavailableError: a validator did not answer; that migration and those after it are still to be run.
    """
    async with asyncio.timeout(STATEMENT_SECONDS), engine.connect() as connection:
        newest = (await connection.execute(text("SELECT max(migration_id) FROM validator_migrations"))).scalar_one()
        rows = await connection.execute(text("SELECT server_id, name, validator FROM servers ORDER BY name"))
        servers: Servers = tuple((row[0], row[1], row[2]) for row in rows)
    done = []
    for migration in migrations:
        if newest is not None and migration.number <= newest:
            continue
        await migration.run(servers, validators)
        statement = text("INSERT INTO validator_migrations (migration_id, name) VALUES (:number, :name)")
        async with asyncio.timeout(STATEMENT_SECONDS), engine.begin() as connection:
            await connection.execute(statement, {"number": migration.number, "name": migration.name})
        done.append(migration.number)
    return tuple(done)


async def run_until_done(
    engine: AsyncEngine, validators: Mapping[str, ValidatorPort], retry_seconds: float = RETRY_SECONDS
) -> None:
    """Run what is pending, again after an outage, until nothing is."""
    while True:
        try:
            done = await run_pending(engine, validators)
        except (*OUTAGES, UnavailableError) as error:
            log.warning("a validator migration will be tried again", reason=str(error)[:200])
            await asyncio.sleep(retry_seconds)
            continue
        if done:
            log.info("validator migrations were run", migrations=done)
        return
