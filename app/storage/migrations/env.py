"""Alembic's entry point: it runs on the connection that `app.storage.migrate` hands over, and on no other."""

from __future__ import annotations

from alembic import context

from app.storage import additions

_connection = context.config.attributes.get("connection")
if _connection is None:
    raise RuntimeError("migrations run through `python -m app.storage migrate`, not through the alembic command")
context.configure(connection=_connection, target_metadata=additions.Intent.metadata, version_table="headframe_schema")
with context.begin_transaction():
    context.run_migrations()
