"""Our additive tables, capacity checks, indexes, and the record of GPU claims.

Checks are added NOT VALID and then validated, so that an adopted database with an odd row still starts; every new row
is checked in any case.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from app.storage import additions

revision = "0002"
down_revision = "0001"

TABLES: Final = ("node_profiles", "gpu_claims", "intents", "audit_reports")

CHECKS: Final = (
    ("servers", "servers_gpu_count_positive", "gpu_count >= 0"),
    ("servers", "servers_cpu_per_gpu_positive", "cpu_per_gpu >= 1"),
    ("servers", "servers_memory_per_gpu_positive", "memory_per_gpu >= 1"),
    ("servers", "servers_hourly_cost_sane", "hourly_cost >= 0 AND hourly_cost < 1000"),
    ("chutes", "chutes_gpu_count_positive", "gpu_count >= 0"),
    ("deployments", "deployments_port_in_range", "port IS NULL OR port BETWEEN 1 AND 65535"),
    ("gpus", "gpus_id_not_empty", "gpu_id <> ''"),
)

INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS headframe_deployments_instance ON deployments (instance_id)",
    "CREATE INDEX IF NOT EXISTS headframe_deployments_config ON deployments (config_id)",
    "CREATE INDEX IF NOT EXISTS headframe_deployments_job ON deployments (job_id)",
    "CREATE INDEX IF NOT EXISTS headframe_deployments_chute ON deployments (chute_id)",
    "CREATE INDEX IF NOT EXISTS headframe_deployments_server ON deployments (server_id)",
    "CREATE INDEX IF NOT EXISTS headframe_gpus_server ON gpus (server_id)",
    "CREATE INDEX IF NOT EXISTS headframe_gpus_deployment ON gpus (deployment_id)",
    "CREATE INDEX IF NOT EXISTS headframe_servers_ip ON servers (ip_address)",
    "CREATE UNIQUE INDEX gpu_claims_one_live_deployment ON gpu_claims (gpu_id) WHERE released_at IS NULL",
    "CREATE INDEX gpu_claims_deployment ON gpu_claims (deployment_id)",
    "CREATE UNIQUE INDEX intents_one_open ON intents (kind, subject) WHERE done_at IS NULL",
)

#: A GPU that is handed from one deployment to another without being freed breaks the unique index: that is the guard.
CLAIM_FUNCTION: Final = """
CREATE OR REPLACE FUNCTION headframe_gpu_claim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND NEW.deployment_id IS NULL) THEN
        UPDATE gpu_claims SET released_at = now() WHERE gpu_id = OLD.gpu_id AND released_at IS NULL;
    ELSIF NEW.deployment_id IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.deployment_id IS DISTINCT FROM OLD.deployment_id)
    THEN
        INSERT INTO gpu_claims (gpu_id, deployment_id) VALUES (NEW.gpu_id, NEW.deployment_id);
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Tables, indexes, the claim trigger with the claims of today, then the checks."""
    additions.Intent.metadata.create_all(
        op.get_bind(), tables=[additions.Intent.metadata.tables[name] for name in TABLES], checkfirst=True
    )
    for statement in INDEXES:
        op.execute(statement)
    op.execute(CLAIM_FUNCTION)
    op.execute(
        "CREATE TRIGGER headframe_gpu_claim AFTER INSERT OR DELETE OR UPDATE OF deployment_id ON gpus "
        "FOR EACH ROW EXECUTE FUNCTION headframe_gpu_claim()"
    )
    op.execute(
        "INSERT INTO gpu_claims (gpu_id, deployment_id) "
        "SELECT gpu_id, deployment_id FROM gpus WHERE deployment_id IS NOT NULL"
    )
    for table, name, condition in CHECKS:
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID")
        op.execute(
            f"DO $$ BEGIN ALTER TABLE {table} VALIDATE CONSTRAINT {name}; EXCEPTION WHEN check_violation THEN "
            f"RAISE WARNING 'rows of {table} break {name}; new rows are checked, old ones stay as they are'; END $$"
        )
