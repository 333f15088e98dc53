"""The scheduler's journal, decisions and failure memory."""

from __future__ import annotations

from typing import Final

from alembic import op

from app.storage import journal

revision = "0003"
down_revision = "0002"

TABLES: Final = ("gepetto_journal", "gepetto_decisions", "gepetto_failures")

INDEXES: Final = (
    "CREATE UNIQUE INDEX gepetto_journal_one_open ON gepetto_journal (deployment_id, kind) WHERE done_at IS NULL",
    "CREATE INDEX gepetto_journal_server ON gepetto_journal (server_id, created_at)",
    "CREATE INDEX gepetto_decisions_made ON gepetto_decisions (made_at)",
)


def upgrade() -> None:
    """Tables first, then their indexes."""
    metadata = journal.JournalEntry.metadata
    metadata.create_all(op.get_bind(), tables=[metadata.tables[name] for name in TABLES])
    for statement in INDEXES:
        op.execute(statement)
