"""The public schema, created or adopted (spec: protocol 12, 24).

On a database of the public miner every statement is a no-op but the ones that bring an older form up to the present
one. No row is rewritten: a change from `timestamp` to `timestamptz` under UTC only touches the catalogue.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from app.storage.models import Base

revision = "0001"
down_revision = None

PUBLIC_TABLES: Final = ("servers", "chutes", "deployments", "gpus", "deployment_audit", "validator_migrations")

#: Columns that public migrations added over time; an old database may lack any of them.
LATER_COLUMNS: Final = (
    ("servers", "agent_api", "VARCHAR"),
    ("servers", "kubeconfig", "TEXT"),
    ("servers", "locked", "BOOLEAN DEFAULT FALSE"),
    ("servers", "is_tee", "BOOLEAN DEFAULT FALSE"),
    ("chutes", "ban_reason", "VARCHAR"),
    ("chutes", "chutes_version", "VARCHAR"),
    ("chutes", "preemptible", "BOOLEAN DEFAULT TRUE"),
    ("chutes", "tee", "BOOLEAN DEFAULT FALSE"),
    ("deployments", "verified_at", "TIMESTAMPTZ"),
    ("deployments", "activated_at", "TIMESTAMPTZ"),
    ("deployments", "job_id", "VARCHAR"),
    ("deployments", "config_id", "VARCHAR"),
    ("deployments", "preemptible", "BOOLEAN DEFAULT TRUE"),
)

AUDIT_FUNCTIONS: Final = """
CREATE INDEX IF NOT EXISTS idx_deployment_audit_ts ON deployment_audit (verified_at, deleted_at);

CREATE OR REPLACE FUNCTION headframe_audit_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO deployment_audit (deployment_id, validator, chute_id, version)
    VALUES (NEW.deployment_id, NEW.validator, NEW.chute_id, NEW.version);
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION headframe_audit_verify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE deployment_audit
       SET verified_at = NEW.verified_at AT TIME ZONE 'UTC', instance_id = NEW.instance_id
     WHERE deployment_id = NEW.deployment_id;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION headframe_audit_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE deployment_audit SET deleted_at = now() AT TIME ZONE 'UTC'
     WHERE deployment_id = OLD.deployment_id AND deleted_at IS NULL;
    RETURN OLD;
END $$;
"""

TRIGGERS: Final = """
CREATE TRIGGER headframe_audit_insert AFTER INSERT ON deployments
    FOR EACH ROW EXECUTE FUNCTION headframe_audit_insert();
CREATE TRIGGER headframe_audit_verify AFTER UPDATE ON deployments
    FOR EACH ROW WHEN (OLD.verified_at IS NULL AND NEW.verified_at IS NOT NULL)
    EXECUTE FUNCTION headframe_audit_verify();
CREATE TRIGGER headframe_audit_delete BEFORE DELETE ON deployments
    FOR EACH ROW EXECUTE FUNCTION headframe_audit_delete();
"""


def upgrade() -> None:
    """Create what is absent, then bring older forms up."""
    connection = op.get_bind()
    op.execute("SET LOCAL timezone = 'UTC'")
    tables = [Base.metadata.tables[name] for name in PUBLIC_TABLES]
    Base.metadata.create_all(connection, tables=tables, checkfirst=True)
    for table, column, kind in LATER_COLUMNS:
        op.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column} {kind}")
    _drop_audit_triggers(connection)
    _widen_old_timestamp(connection)
    _set_defaults()
    for statements in (AUDIT_FUNCTIONS, TRIGGERS):
        for statement in _split(statements):
            op.execute(statement)


def _drop_audit_triggers(connection: sa.Connection) -> None:
    """Whatever the public triggers are called, ours replace them: two sets would insert each audit row twice and fail.

    They also go before the change of `verified_at`, because a trigger whose WHEN names a column pins its type.
    """
    rows = connection.execute(
        sa.text(
            "SELECT t.tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
            "WHERE t.tgrelid = 'deployments'::regclass AND NOT t.tgisinternal AND p.prosrc ILIKE '%deployment_audit%'"
        )
    )
    for (name,) in rows.all():
        op.execute(f'DROP TRIGGER "{name}" ON deployments')


def _widen_old_timestamp(connection: sa.Connection) -> None:
    old = connection.execute(
        sa.text(
            "SELECT data_type FROM information_schema.columns WHERE table_schema = current_schema() "
            "AND table_name = 'deployments' AND column_name = 'verified_at'"
        )
    ).scalar_one()
    if old == "timestamp without time zone":
        op.execute("ALTER TABLE deployments ALTER COLUMN verified_at TYPE TIMESTAMPTZ")


def _set_defaults() -> None:
    for table in ("chutes", "deployments"):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN preemptible SET DEFAULT TRUE")
    for table, column in (("servers", "locked"), ("servers", "is_tee"), ("chutes", "tee"), ("gpus", "verified")):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT FALSE")
    for column in ("active", "stub"):
        op.execute(f"ALTER TABLE deployments ALTER COLUMN {column} SET DEFAULT FALSE")


def _split(statements: str) -> list[str]:
    """One statement at a time, as asyncpg prepares them; function bodies stay whole."""
    found, current, in_body = [], [], False
    for line in statements.strip().splitlines():
        current.append(line)
        if line.count("$$") % 2:
            in_body = not in_body
        if not in_body and line.rstrip().endswith(";"):
            found.append("\n".join(current))
            current = []
    return found
