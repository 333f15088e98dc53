"""Gepetto's writes to PostgreSQL: claims, journal, failure memory (spec: gepetto 15, 24.3, 24.10).

Four statements per launch, each atomic by itself: a crash between any two leaves a state that `open_entries` shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.gepetto.execution.fence import Fence, FencedWrite
from app.gepetto.execution.limits import Working
from app.gepetto.execution.opened import OpenEntry, read_open
from app.storage.journal import JournalKind, JournalStep

STATEMENT_SECONDS: Final = 30.0
#: The longest pause after failures in a row.
LONGEST_SECONDS: Final = 6 * 3600.0
KEPT_DAYS: Final = 30

_RESERVE: Final = FencedWrite("""
WITH wanted AS (
    SELECT gpu_id FROM gpus
     WHERE {held} AND gpu_id = ANY(:gpu_ids) AND server_id = :server_id AND verified AND deployment_id IS NULL
       FOR UPDATE SKIP LOCKED
), row AS (
    INSERT INTO deployments (deployment_id, validator, chute_id, server_id, version, active, stub, job_id, preemptible)
    SELECT :deployment_id, c.validator, c.chute_id, :server_id, :version, false, true, :job_id, c.preemptible
      FROM chutes c
     WHERE c.chute_id = :chute_id AND (SELECT count(*) FROM wanted) = :count
    RETURNING deployment_id
), claim AS (
    UPDATE gpus SET deployment_id = (SELECT deployment_id FROM row)
     WHERE gpu_id IN (SELECT gpu_id FROM wanted) AND EXISTS (SELECT 1 FROM row)
    RETURNING gpu_id
), entry AS (
    INSERT INTO gepetto_journal (deployment_id, kind, step, server_id, chute_id, detail)
    SELECT deployment_id, 'launch', 'reserved', :server_id, :chute_id, :job_id FROM row
)
SELECT count(*) FROM claim
""")

# A permit ends the row of refusals: the next one starts from the shortest pause again.
_PERMIT: Final = FencedWrite("""
WITH row AS (
    UPDATE deployments SET config_id = :config_id WHERE {held} AND deployment_id = :deployment_id
    RETURNING deployment_id, chute_id
), forgotten AS (
    DELETE FROM gepetto_failures WHERE server_id = '*' AND chute_id IN (SELECT chute_id FROM row)
)
UPDATE gepetto_journal SET step = 'permitted', updated_at = now()
 WHERE deployment_id IN (SELECT deployment_id FROM row) AND kind = 'launch' AND done_at IS NULL RETURNING 1
""")

_STEP: Final = FencedWrite("""
WITH nothing AS (SELECT 1)
UPDATE gepetto_journal SET step = :step, updated_at = now()
 WHERE {held} AND deployment_id = :deployment_id AND kind = :kind AND done_at IS NULL RETURNING 1
""")

_LAUNCHED: Final = FencedWrite("""
WITH row AS (
    UPDATE deployments SET host = :host, port = :port, stub = false WHERE {held} AND deployment_id = :deployment_id
    RETURNING deployment_id
)
UPDATE gepetto_journal SET step = 'launched', updated_at = now(), done_at = now()
 WHERE deployment_id IN (SELECT deployment_id FROM row) AND kind = 'launch' AND done_at IS NULL RETURNING 1
""")

_DRAIN: Final = text("""
INSERT INTO gepetto_journal (deployment_id, kind, step, server_id, chute_id, evidence, detail)
SELECT deployment_id, 'terminate', 'draining', server_id, chute_id, :evidence, :detail
  FROM deployments WHERE deployment_id = :deployment_id
ON CONFLICT DO NOTHING RETURNING 1
""")

# Removal frees the GPUs (the foreign key sets them null), so it happens only once the pods are gone.
_REMOVE: Final = text("""
WITH gone AS (DELETE FROM deployments WHERE deployment_id = :deployment_id RETURNING deployment_id)
UPDATE gepetto_journal SET step = :step, updated_at = now(), done_at = now(), detail = coalesce(:detail, detail)
 WHERE deployment_id = :deployment_id AND done_at IS NULL RETURNING (SELECT count(*) FROM gone)
""")

_CLOSE: Final = text("""
UPDATE gepetto_journal SET step = :step, updated_at = now(), done_at = now(), detail = :detail
 WHERE deployment_id = :deployment_id AND done_at IS NULL RETURNING 1
""")

# A failure long after the last one's pause is the first of a new row.
_FAILED: Final = text("""
INSERT INTO gepetto_failures (chute_id, server_id, count, until, reason)
VALUES (:chute_id, :server_id, 1, now() + make_interval(secs => :base), :reason)
ON CONFLICT (chute_id, server_id) DO UPDATE SET
    count = CASE WHEN gepetto_failures.until < now() - interval '1 hour' THEN 1 ELSE gepetto_failures.count + 1 END,
    reason = :reason,
    until = now() + make_interval(secs => least(:longest, :base * power(2, CASE
        WHEN gepetto_failures.until < now() - interval '1 hour' THEN 0 ELSE least(gepetto_failures.count, 16) END)))
""")

_CAN_HAVE: Final = """
SELECT 1 FROM gpus WHERE gpu_id = ANY(:gpu_ids) AND server_id = :server_id AND verified
   AND (deployment_id IS NULL OR deployment_id = ANY(:victims)) HAVING count(*) = :count
"""

_PRUNE: Final = (
    "DELETE FROM gepetto_decisions WHERE made_at < now() - make_interval(days => :days)",
    "DELETE FROM gepetto_journal WHERE done_at < now() - make_interval(days => :days)",
    "DELETE FROM gepetto_failures WHERE until < now() - make_interval(days => :days)",
)

# Neighbours by their rows: one is there from before a copy's first object until after its last pod.
_PLAN: Final = text("""
SELECT c.chute_id, c.version, c.image, c.ref_str, c.chutes_version, c.tee, c.filename,
       CASE WHEN c.tee THEN '' ELSE c.code END AS code, s.validator, s.server_id, s.name AS server_name,
       s.ip_address, s.cpu_per_gpu, s.memory_per_gpu, s.seed,
       ARRAY(SELECT DISTINCT d.chute_id FROM deployments d
              WHERE d.server_id = s.server_id AND d.chute_id <> c.chute_id) AS neighbours
  FROM chutes c, servers s WHERE c.chute_id = :chute_id AND s.server_id = :server_id
""")


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
    ) -> bool:
        """Insert a stub row, claim its GPUs and open its journal entry, all or nothing. False: a GPU was not free."""
        values = {
            "deployment_id": deployment_id,
            "chute_id": chute_id,
            "version": version,
            "server_id": server_id,
            "gpu_ids": list(gpu_ids),
            "count": len(gpu_ids),
            "job_id": job_id,
        }
        found = await self._write(_RESERVE, values)
        return found is not None and found["count"] == len(gpu_ids)

    async def permit(self, deployment_id: str, config_id: str) -> bool:
        """The validator gave a launch config. False: the row has gone meanwhile."""
        return await self._write(_PERMIT, {"deployment_id": deployment_id, "config_id": config_id}) is not None

    async def step(self, deployment_id: str, kind: JournalKind, step: JournalStep) -> bool:
        """Note how far an open entry has come."""
        values = {"deployment_id": deployment_id, "kind": kind.value, "step": step.value}
        return await self._write(_STEP, values) is not None

    async def launched(self, deployment_id: str, host: str | None, port: int) -> bool:
        """Service and Job exist. False: the row has gone meanwhile."""
        return await self._write(_LAUNCHED, {"deployment_id": deployment_id, "host": host, "port": port}) is not None

    async def drain(self, deployment_id: str, evidence: str, detail: str) -> bool:
        """Begin an ending. False: the row is unknown, or its ending has begun already."""
        values = {"deployment_id": deployment_id, "evidence": evidence, "detail": detail}
        return await self._one(_DRAIN, values) is not None

    async def remove(self, deployment_id: str, step: JournalStep, detail: str | None = None) -> None:
        """Delete the row, free its GPUs and close its journal entries."""
        await self._one(_REMOVE, {"deployment_id": deployment_id, "step": step.value, "detail": detail})

    async def close(self, deployment_id: str, step: JournalStep, detail: str) -> None:
        """Close a deployment's journal entries and touch nothing else."""
        await self._one(_CLOSE, {"deployment_id": deployment_id, "step": step.value, "detail": detail[:300]})

    async def remember_failure(
        self, chute_id: str, server_id: str, reason: str, base_seconds: float, longest_seconds: float = LONGEST_SECONDS
    ) -> None:
        """Leave a chute alone on a server (`*`: everywhere), twice as long at each failure in a row."""
        values = {"chute_id": chute_id, "server_id": server_id, "reason": reason[:200]}
        await self._one(_FAILED, values | {"base": base_seconds, "longest": longest_seconds})

    async def prune(self, days: int = KEPT_DAYS) -> None:
        """Drop decisions, finished journal entries and failures that ended so many days ago."""
        for statement in _PRUNE:
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
        return await self._look(_CAN_HAVE, values)

    async def server_ids(self) -> tuple[str, ...]:
        """Ids of every server."""
        async with asyncio.timeout(STATEMENT_SECONDS), self.engine.connect() as connection:
            return tuple((await connection.execute(text("SELECT server_id FROM servers ORDER BY name"))).scalars())

    async def plan_facts(self, chute_id: str, server_id: str) -> Mapping[str, object] | None:
        """The columns that manifests need, in one row; None when chute or server is gone."""
        values = {"chute_id": chute_id, "server_id": server_id}
        async with asyncio.timeout(STATEMENT_SECONDS), self.engine.connect() as connection:
            row = (await connection.execute(_PLAN, values)).mappings().first()
            return None if row is None else dict(row)

    async def open_entries(self, deployment_id: str | None = None) -> tuple[OpenEntry, ...]:
        """Every unfinished launch and ending, oldest first; or those of one deployment."""
        async with asyncio.timeout(STATEMENT_SECONDS), self.engine.connect() as connection:
            return await read_open(connection, deployment_id)
