"""One of all workers leads: it holds the validators' feeds. PostgreSQL's advisory lock says which one.

The lock lives as long as its connection: a killed worker loses it at once, one that lost the database gives up itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import structlog
from alembic.util import CommandError
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.api.renewal import keep_current
from app.api.services import Services
from app.protocol.cancellation import run_apart
from app.storage.engine import OUTAGES, try_lock
from app.storage.migrate import migrate
from app.storage.sealing import align, plain_servers
from app.validators.link import ValidatorLink

LOCK: Final = "validator-feeds"
CONTEST_SECONDS: Final = 2.0
CHECK_SECONDS: Final = 2.0
CHECK_TIMEOUT_SECONDS: Final = 5.0

log = structlog.get_logger(__name__)


class LostError(Exception):
    """The lock's connection does not answer: somebody else may lead by now."""


async def prepare(services: Services) -> None:
    """Bring the schema up to date; waits for the database, and for an operator's help, as long as it takes."""
    while not services.is_prepared:
        try:
            await migrate(services.engine)
            services.is_prepared = True
        except (*OUTAGES, SQLAlchemyError) as error:
            log.warning("the schema waits for the database", error=_first_line(error))
        except CommandError as error:
            log.warning("the schema is not one that this release knows: is it a newer one's?", error=_first_line(error))
        if not services.is_prepared:
            await asyncio.sleep(CONTEST_SECONDS)


async def lead(services: Services) -> None:
    """Contest for the lock, for ever; while it is held run the validator link.

    Whatever ends a reign, the contest goes on: a worker that gave it up would look alive, and no validator be heard.
    """
    await prepare(services)
    while services.settings.leader_enabled:
        try:
            async with services.engine.connect() as raw:
                connection = await raw.execution_options(isolation_level="AUTOCOMMIT")
                if await try_lock(connection, LOCK):
                    await _reign(services, connection)
        except (*OUTAGES, SQLAlchemyError) as error:
            log.warning("the contest for leadership waits for the database", error=_first_line(error))
        except Exception:
            log.exception("this worker's lead ended by a mistake; it is contested for again")
        await asyncio.sleep(CONTEST_SECONDS)


async def _reign(services: Services, connection: AsyncConnection) -> None:
    log.info("this worker leads and holds the validators' feeds")
    settings = services.settings
    await look_at_kubeconfigs(services)
    services.link = ValidatorLink(
        settings.validators.supported, settings.signer, http=services.http, redis=services.redis_stream,
        engine=services.engine, clock=services.clock,
    )  # fmt: skip
    try:
        await run_apart(_lead(services, services.link, connection))
    except* (LostError, RedisError) as lost:
        log.warning("this worker leads no longer", error=str(lost.exceptions[0]))
    finally:
        services.link = None
        with contextlib.suppress(*OUTAGES, SQLAlchemyError):
            await connection.invalidate()


async def look_at_kubeconfigs(services: Services) -> None:
    """Store them plain where the settings want that. Plain ones where sealing is on are told of and never taken over:
    whoever can write to the database alone could have put them there."""
    if not services.settings.kubeconfig_sealed:
        done = await align(services.engine, services.settings.vault, sealed=False)
        if done.changed or done.unopened:
            log.warning("kubeconfigs are stored plain", changed=done.changed, unopened=done.unopened)
        return
    plain = await plain_servers(services.engine)
    if plain:
        log.error(
            "stored kubeconfigs are not sealed, and not used: if they are yours, run `python -m app.storage seal`",
            servers=plain,
        )


async def _lead(services: Services, link: ValidatorLink, connection: AsyncConnection) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(link.run())
        tasks.create_task(_watch(connection))
        tasks.create_task(keep_current(services))


async def _watch(connection: AsyncConnection) -> None:
    """Raise `LostError` once the lock's connection is gone."""
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
                await connection.execute(text("SELECT 1"))
        except (*OUTAGES, SQLAlchemyError) as error:
            raise LostError(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
