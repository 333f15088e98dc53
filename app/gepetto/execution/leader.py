"""Leadership by an advisory lock of PostgreSQL: one acts, a standby takes over in seconds (spec: gepetto 24.1).

The lock is given back only when the work has ended. One that was lost with its connection may be another's at once:
what the work does until it has ended is stopped by the epoch of `fence`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.gepetto.execution.faults import deposed_in, is_passing
from app.storage.engine import OUTAGES, try_lock, unlock

log = structlog.get_logger(__name__)

LOCK_NAME: Final = "gepetto"
RETRY_SECONDS: Final = 2.0
CHECK_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 4.0


class Leadership:
    """Holds the lock on one connection and checks that the connection lives; a dead one ends the leader's work."""

    def __init__(self, engine: AsyncEngine, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self._engine, self._retry = engine, retry_seconds
        self.is_leader = False

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lock, run `work` while it is held, and return when `work` does. Outlives outages."""
        while True:
            try:
                async with asyncio.timeout(30):
                    connection = await self._engine.connect()
            except (*OUTAGES, SQLAlchemyError) as error:
                log.warning("no leader election without the database", reason=type(error).__name__)
                await asyncio.sleep(self._retry)
                continue
            try:
                if await self._hold(connection, work):
                    return
            finally:
                self.is_leader = False
                await _close(connection)
            await asyncio.sleep(self._retry)

    async def _hold(self, connection: AsyncConnection, work: Callable[[], Awaitable[None]]) -> bool:
        """True when the work ended by itself; False when the lock was not to be had, or was lost."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if not await try_lock(connection, LOCK_NAME):
                    await connection.rollback()
                    return False
                await connection.commit()
        except (*OUTAGES, SQLAlchemyError):
            return False
        self.is_leader = True
        log.info("leading")
        job = asyncio.ensure_future(work())
        try:
            while not job.done():
                await asyncio.wait({job}, timeout=CHECK_SECONDS)
                if not job.done() and not await self._is_alive(connection):
                    log.error("the leader's connection is lost: stopping its work")
                    return False
            return _ended_by_itself(job)
        finally:
            await _stop(job)

    @staticmethod
    async def _is_alive(connection: AsyncConnection) -> bool:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await connection.execute(text("SELECT 1"))
                await connection.rollback()
        except (*OUTAGES, SQLAlchemyError):
            return False
        return True


def _ended_by_itself(job: asyncio.Future[None]) -> bool:
    """False for work that an outage or a later leader interrupted: it is taken up again. Any other error is raised."""
    try:
        job.result()
    except Exception as error:
        if not deposed_in(error) and not is_passing(error):
            raise
        log.warning("the leader's work was interrupted", reason=type(error).__name__)
        return False
    return True


async def _stop(job: asyncio.Future[None]) -> None:
    """Cancel the work and wait until it has ended, however long that takes: until then nobody else may act."""
    told_to_end: asyncio.CancelledError | None = None
    while not job.done():
        job.cancel()
        try:
            await asyncio.wait({job}, timeout=ANSWER_SECONDS)
        except asyncio.CancelledError as error:
            told_to_end = error
        if not job.done():
            log.error("the leader's work does not end yet: its lock is kept")
    if not job.cancelled():
        job.exception()  # seen, so that nobody reports it as lost
    if told_to_end is not None:
        raise told_to_end


async def _close(connection: AsyncConnection) -> None:
    """Give the lock back; a connection that is dead anyway is thrown away, which frees it too."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await unlock(connection, LOCK_NAME)
            await connection.close()
    except (*OUTAGES, SQLAlchemyError):
        await connection.invalidate()
