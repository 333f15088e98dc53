"""Kubeconfigs of every server, as the database holds them: sealed there, open only in this process's memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.gepetto.ports import UnavailableError
from app.storage.engine import OUTAGES
from app.storage.sealing import SealError, Vault

log = structlog.get_logger(__name__)

#: An unknown server makes them read anew, but not more often than this.
NEW_SERVER_SECONDS: Final = 2.0


class Kubeconfigs:
    """Kubeconfigs by server, read from the database now and then; never logged, never on disk."""

    def __init__(self, engine: AsyncEngine, vault: Vault, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._vault, self._clock = engine, vault, clock
        self._found: dict[str, tuple[str, str]] = {}
        self._read_at = -NEW_SERVER_SECONDS

    def of(self, server_id: str) -> tuple[str, str] | None:
        """Cluster name and kubeconfig."""
        return self._found.get(server_id)

    async def refresh(self) -> None:
        """Read them all; a server without one is left out, and only that one."""
        statement = text("SELECT server_id, name, kubeconfig FROM servers WHERE coalesce(kubeconfig, '') <> ''")
        async with asyncio.timeout(30), self._engine.connect() as connection:
            rows = (await connection.execute(statement)).all()
        self._found = {
            server_id: (name, opened)
            for server_id, name, stored in rows
            if (opened := self._opened(server_id, stored)) is not None
        }

    def _opened(self, server_id: str, stored: str) -> str | None:
        try:
            return self._vault.open(server_id, stored)
        except SealError as error:
            log.warning("a server cannot be reached", reason=str(error))
            return None

    async def look_again(self) -> None:
        """For a server that was not there at the last reading: read anew, unless that was only just done.

        Raises:
            UnavailableError: the database does not answer.
        """
        if self._clock() - self._read_at < NEW_SERVER_SECONDS:
            return
        self._read_at = self._clock()
        try:
            await self.refresh()
        except OUTAGES as error:
            raise UnavailableError(f"kubeconfigs cannot be read: {type(error).__name__}") from error
