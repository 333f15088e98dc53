"""Gepetto's writes to PostgreSQL: claims, journal, failure memory (spec: gepetto 15, 24.3, 24.10).

Four statements per launch (`statements`): a crash between any two leaves a state that `open_entries` shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.gepetto.execution import statements
from app.gepetto.execution.fence import Fence, FencedWrite
from app.gepetto.execution.limits import Working
from app.gepetto.execution.opened import OpenEntry, read_open
from app.storage.journal import JournalKind, JournalStep

STATEMENT_SECONDS: Final = 30.0
#: The longest pause after failures in a row.
LONGEST_SECONDS: Final = 6 * 3600.0
KEPT_DAYS: Final = 30


class Store:
    """Statements over one engine; each has an end in time.

    Args:
        engine: the database.
        fence: the leader's. Every write raises `DeposedError` where this process leads no longer.
    """

    def __init__(self, engine: AsyncEngine, fence: Fence | None = None) -> None:
        self.engine, self.fence = engine, fence
        self.working = Working()

    async def _one(self, statement: TextClause, values: Mapping[str, object]) -> Mapping[str, object] | None:
        async with asyncio.timeout(STATEMENT_SECONDS), self.engine.begin() as connection:
            if self.fence is not None:
                await self.fence.hold(connection)
            result = await connection.execute(statement, dict(values))
            row = result.mappings().first() if result.returns_rows else None
            return None if row is None else dict(row)

    async def _write(self, write: FencedWrite, values: Mapping[str, object]) -> Mapping[str, object] | None:
        """One statement, its own transaction. Where it did nothing, the fence is looked at to say why.

        Raises:
            DeposedError: this process leads no longer, so nothing was done.
        """
        fence = self.fence
        if fence is None:
            return await self._one(write.alone, values)
        asked_at = fence.now()
        async with asyncio.timeout(STATEMENT_SECONDS), self.engine.begin() as connection:
            row = (await connection.execute(write.fenced, {**values, **fence.values})).mappings().first()
            if row is None or not next(iter(row.values())):
                await fence.hold(connection)
                return None if row is None else dict(row)
        fence.was_held(asked_at)
        return dict(row)

    async def reserve(
        self,
        deployment_id: str,
        chute_id: str,
        version: str,
        server_id: str,
        gpu_ids: Sequence[str],
        job_id: str | None,
    ) -> Mapping[str, object] | None:
        """Insert a stub row, claim its GPUs and open its journal entry, all or nothing; the columns for manifests.

        None: a GPU was not free, or the chute or the server is gone.
        """
        values = {
            "deployment_id": deployment_id,
            "chute_id": chute_id,
            "version": version,
            "server_id": server_id,
            "gpu_ids": list(gpu_ids),
            "count": len(gpu_ids),
            "job_id": job_id,
        }
        found = await self._write(statements.RESERVE, values)
        return found if found is not None and found["claimed"] == len(gpu_ids) else None

    async def permit(self, deployment_id: str, config_id: str) -> bool:
        """The validator gave a launch config. False: the row has gone meanwhile."""
        return (
            await self._write(statements.PERMIT, {"deployment_id": deployment_id, "config_id": config_id}) is not None
        )

    async def step(self, deployment_id: str, kind: JournalKind, step: JournalStep) -> bool:
        """Note how far an open entry has come."""
        values = {"deployment_id": deployment_id, "kind": kind.value, "step": step.value}
        return await self._write(statements.STEP, values) is not None

    async def launched(self, deployment_id: str, host: str | None, port: int) -> bool:
        """Service and Job exist. False: the row has gone meanwhile."""
        return (
            await self._write(statements.LAUNCHED, {"deployment_id": deployment_id, "host": host, "port": port})
            is not None
        )

    async def drain(self, deployment_id: str, evidence: str, detail: str, *, starting_only: bool = False) -> bool:
        """Begin an ending. False: the row is unknown, its ending has begun already, or (if asked for) it is active."""
        values = {
            "deployment_id": deployment_id,
            "evidence": evidence,
            "detail": detail,
            "starting_only": starting_only,
        }
        return await self._one(statements.DRAIN, values) is not None

    async def remove(self, deployment_id: str, step: JournalStep, detail: str | None = None) -> None:
        """Delete the row, free its GPUs and close its journal entries."""
        await self._one(statements.REMOVE, {"deployment_id": deployment_id, "step": step.value, "detail": detail})

    async def close(self, deployment_id: str, step: JournalStep, detail: str) -> None:
        """Close a deployment's journal entries and touch nothing else."""
        await self._one(statements.CLOSE, {"deployment_id": deployment_id, "step": step.value, "detail": detail[:300]})

    async def remember_failure(
        self, chute_id: str, server_id: str, reason: str, base_seconds: float, longest_seconds: float = LONGEST_SECONDS
    ) -> None:
        """Leave a chute alone on a server (`*`: everywhere), twice as long at each failure in a row."""
        values = {"chute_id": chute_id, "server_id": server_id, "reason": reason[:200]}
        await self._one(statements.FAILED, values | {"base": base_seconds, "longest": longest_seconds})

    async def prune(self, days: int = KEPT_DAYS) -> None:
        """Drop decisions, finished journal entries and failures that ended so many days ago."""
        for statement in statements.PRUNE:
            await self._one(text(statement), {"days": days})

    async def _look(self, query: str, values: Mapping[str, object]) -> bool:
        async with asyncio.timeout(STATEMENT_SECONDS), self.engine.connect() as connection:
            return (await connection.execute(text(query), dict(values))).first() is not None

    async def exists(self, deployment_id: str) -> bool:
        """Whether there is a row of this deployment."""
        query = "SELECT 1 FROM deployments WHERE deployment_id = :deployment_id"
        return await self._look(query, {"deployment_id": deployment_id})

    async def stands_for(self, instance_id: str, config_id: str) -> bool:
        """Whether a row of ours stands for an instance, by its id or by its launch config."""
        query = "SELECT 1 FROM deployments WHERE instance_id = :instance_id OR config_id = :config_id"
        return await self._look(query, {"instance_id": instance_id, "config_id": config_id})

    async def has_rows(self, server_id: str) -> bool:
        """Whether any deployment, ending ones included, is on a server."""
        return await self._look("SELECT 1 FROM deployments WHERE server_id = :server_id", {"server_id": server_id})

    async def can_have(self, server_id: str, gpu_ids: Sequence[str], victims: Sequence[str]) -> bool:
        """Whether every one of these GPUs is verified, and free or held by one of the victims."""
        values = {"server_id": server_id, "gpu_ids": list(gpu_ids), "victims": list(victims), "count": len(gpu_ids)}
        return await self._look(statements.CAN_HAVE, values)

    async def server_ids(self) -> tuple[str, ...]:
        """Ids of every server."""
        async with asyncio.timeout(STATEMENT_SECONDS), self.engine.connect() as connection:
            return tuple((await connection.execute(text("SELECT server_id FROM servers ORDER BY name"))).scalars())

    async def plan_facts(self, chute_id: str, server_id: str) -> Mapping[str, object] | None:
        """The columns that manifests need, in one row; None when chute or server is gone."""
        values = {"chute_id": chute_id, "server_id": server_id}
        async with asyncio.timeout(STATEMENT_SECONDS), self.engine.connect() as connection:
            row = (await connection.execute(statements.PLAN, values)).mappings().first()
            return None if row is None else dict(row)

    async def open_entries(self, deployment_id: str | None = None) -> tuple[OpenEntry, ...]:
        """Every unfinished launch and ending, oldest first; or those of one deployment."""
        async with asyncio.timeout(STATEMENT_SECONDS), self.engine.connect() as connection:
            return await read_open(connection, deployment_id)
