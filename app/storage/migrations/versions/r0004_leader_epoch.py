"""The epoch of the scheduler's leadership, by which a former leader's writes are refused."""

from __future__ import annotations

from typing import Final

from alembic import op

from app.storage import journal

revision = "0004"
down_revision = "0003"

TABLE: Final = "gepetto_leader"


def upgrade() -> None:
    """The table; its row comes with the first leader."""
    metadata = journal.LeaderEpoch.metadata
    metadata.create_all(op.get_bind(), tables=[metadata.tables[TABLE]])
