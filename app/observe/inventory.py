"""Which servers exist, as the monitor needs them: name, agent address, kubeconfig (spec: agent-monitor 2.1).

The monitor reads the table `servers` and writes nothing; an error here means "not known", never "none".
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final, Protocol

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

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
    """The inventory in PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def servers(self) -> tuple[Server, ...]:
        rows = await self._fetch("SELECT name, agent_api, kubeconfig FROM servers ORDER BY name", {})
        return tuple(Server(row[0], row[1], row[2]) for row in rows)

    async def contains(self, name: str) -> bool:
        return bool(await self._fetch("SELECT name, NULL, NULL FROM servers WHERE name = :name", {"name": name}))

    async def _fetch(self, statement: str, parameters: dict[str, str]) -> list[tuple[str, str | None, str | None]]:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS), self._engine.connect() as connection:
                result = await connection.execute(text(statement), parameters)
                return [(row[0], row[1], row[2]) for row in result]
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise InventoryUnavailableError(f"the servers table cannot be read: {type(error).__name__}") from error
