"""Which servers exist, as the monitor needs them: name, agent address, kubeconfig (spec: agent-monitor 2.1).

The monitor reads the table `servers` and writes nothing; an error here means "not known", never "none".
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.storage.sealing import SealError, Vault

log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS: Final = 10.0


class InventoryUnavailableError(RuntimeError):
    """The database did not answer: nothing is known about any server."""


@dataclass(frozen=True)
class Server:
    """One server row. The kubeconfig holds secrets and shows in no repr."""

    name: str
    agent_api: str | None
    kubeconfig: str | None = field(default=None, repr=False)


class Inventory(Protocol):
    """The servers that exist. Both methods raise `InventoryUnavailableError`."""

    async def servers(self) -> tuple[Server, ...]:
        """All of them."""
        ...

    async def contains(self, name: str) -> bool:
        """Whether there is a server of this name."""
        ...


class SqlInventory:
    """The inventory in PostgreSQL. A kubeconfig that `vault` does not open is left out, its server is not."""

    def __init__(self, engine: AsyncEngine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault

    async def servers(self) -> tuple[Server, ...]:
        rows = await self._fetch("SELECT server_id, name, agent_api, kubeconfig FROM servers ORDER BY name", {})
        return tuple(Server(name, agent, self._opened(server_id, text)) for server_id, name, agent, text in rows)

    def _opened(self, server_id: str, text: str | None) -> str | None:
        try:
            return None if text is None else self._vault.open(server_id, text)
        except SealError as error:
            log.warning("a cluster is not read directly", reason=str(error))
            return None

    async def contains(self, name: str) -> bool:
        return bool(
            await self._fetch("SELECT server_id, name, NULL, NULL FROM servers WHERE name = :name", {"name": name})
        )

    async def _fetch(self, statement: str, parameters: dict[str, str]) -> list[tuple[str, str, str | None, str | None]]:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS), self._engine.connect() as connection:
                result = await connection.execute(text(statement), parameters)
                return [(row[0], row[1], row[2], row[3]) for row in result]
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise InventoryUnavailableError(f"the servers table cannot be read: {type(error).__name__}") from error
