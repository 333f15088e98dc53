"""Leadership by an advisory lock of PostgreSQL: one acts, a standby takes over in seconds (spec: gepetto 24.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

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
            except OUTAGES as error:
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
        except OUTAGES:
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
            job.cancel()
            await asyncio.wait({job}, timeout=ANSWER_SECONDS)

    @staticmethod
    async def _is_alive(connection: AsyncConnection) -> bool:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await connection.execute(text("SELECT 1"))
                await connection.rollback()
        except OUTAGES:
            return False
        return True


def _ended_by_itself(job: asyncio.Future[None]) -> bool:
    """False for work that an outage interrupted: it is taken up again. Any other error is raised."""
    try:
        job.result()
    except OUTAGES as error:
        log.warning("the leader's work was interrupted", reason=type(error).__name__)
        return False
    return True


async def _close(connection: AsyncConnection) -> None:
    """Give the lock back; a connection that is dead anyway is thrown away, which frees it too."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await unlock(connection, LOCK_NAME)
            await connection.close()
    except OUTAGES:
        await connection.invalidate()
