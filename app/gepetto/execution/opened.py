"""What the journal shows as begun and not finished. Reads only (spec: gepetto 24.10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.journal import JournalKind, JournalStep

_OPEN: Final = text("""
SELECT j.deployment_id, j.kind, j.step, j.server_id, j.chute_id, j.evidence, d.job_id, d.instance_id, d.validator,
       coalesce(d.active, false) AS active, s.ip_address AS host,
       d.deployment_id IS NOT NULL AS has_row, s.server_id IS NOT NULL AS has_server,
       extract(epoch FROM now() - j.created_at)::float8 AS age_seconds
  FROM gepetto_journal j
  LEFT JOIN deployments d USING (deployment_id) LEFT JOIN servers s ON s.server_id = j.server_id
 WHERE j.done_at IS NULL AND j.deployment_id = coalesce(:deployment_id, j.deployment_id) ORDER BY j.id
""")


@dataclass(frozen=True, slots=True)
class OpenEntry:
    """A launch or ending that was begun and not finished.

    `active` says whether its copy is by now. `has_row` and `has_server` say whether its rows are still there;
    `age_seconds` counts from its first step.
    """

    deployment_id: str
    kind: JournalKind
    step: JournalStep
    server_id: str
    chute_id: str
    evidence: str | None
    job_id: str | None
    instance_id: str | None
    validator: str | None
    host: str | None
    has_row: bool = True
    has_server: bool = True
    age_seconds: float = 0.0
    active: bool = False


async def read_open(connection: AsyncConnection, deployment_id: str | None = None) -> tuple[OpenEntry, ...]:
    """Unfinished launches and endings, oldest first: all of them, or those of one deployment."""
    rows = (await connection.execute(_OPEN, {"deployment_id": deployment_id})).mappings().all()
    return tuple(
        OpenEntry(**{**row, "kind": JournalKind(row["kind"]), "step": JournalStep(row["step"])}) for row in rows
    )
