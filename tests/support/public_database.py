"""A database as an early public miner left it: older column types, its own audit triggers, no column of the later ones.

Written from the description of the public schema (spec: protocol 12), to test the adoption in place.
"""

from __future__ import annotations

from typing import Final

OLD_SCHEMA: Final = (
    """CREATE TABLE servers (
        server_id VARCHAR PRIMARY KEY, validator VARCHAR NOT NULL, name VARCHAR NOT NULL UNIQUE, ip_address VARCHAR,
        verification_port INTEGER, status VARCHAR, created_at TIMESTAMPTZ DEFAULT now(), labels JSONB NOT NULL,
        seed BIGINT, gpu_count INTEGER NOT NULL, cpu_per_gpu INTEGER NOT NULL, memory_per_gpu INTEGER NOT NULL,
        hourly_cost DOUBLE PRECISION NOT NULL, locked BOOLEAN DEFAULT FALSE)""",
    """CREATE TABLE chutes (
        chute_id VARCHAR PRIMARY KEY, validator VARCHAR NOT NULL, name VARCHAR, image VARCHAR NOT NULL,
        code VARCHAR NOT NULL, filename VARCHAR NOT NULL, ref_str VARCHAR NOT NULL, version VARCHAR NOT NULL,
        supported_gpus VARCHAR[] NOT NULL, gpu_count INTEGER NOT NULL, created_at TIMESTAMPTZ DEFAULT now(),
        updated_at TIMESTAMPTZ DEFAULT now(), ban_reason VARCHAR, chutes_version VARCHAR,
        preemptible BOOLEAN NOT NULL DEFAULT TRUE)""",
    """CREATE TABLE deployments (
        deployment_id VARCHAR PRIMARY KEY, instance_id VARCHAR, validator VARCHAR NOT NULL, host VARCHAR, port INTEGER,
        chute_id VARCHAR NOT NULL REFERENCES chutes ON DELETE CASCADE,
        server_id VARCHAR NOT NULL REFERENCES servers ON DELETE CASCADE, version VARCHAR NOT NULL, active BOOLEAN,
        verified_at TIMESTAMP, stub BOOLEAN, job_id VARCHAR, config_id VARCHAR, created_at TIMESTAMPTZ DEFAULT now(),
        preemptible BOOLEAN NOT NULL DEFAULT TRUE)""",
    """CREATE TABLE gpus (
        gpu_id VARCHAR PRIMARY KEY, validator VARCHAR, server_id VARCHAR NOT NULL REFERENCES servers ON DELETE CASCADE,
        deployment_id VARCHAR REFERENCES deployments ON DELETE SET NULL, device_info JSONB NOT NULL,
        model_short_ref VARCHAR NOT NULL, verified BOOLEAN)""",
    """CREATE TABLE deployment_audit (
        deployment_id TEXT PRIMARY KEY, validator TEXT NOT NULL, chute_id TEXT NOT NULL, version TEXT NOT NULL,
        instance_id TEXT, created_at TIMESTAMP NOT NULL DEFAULT now(), verified_at TIMESTAMP, deleted_at TIMESTAMP)""",
    "CREATE TABLE schema_migrations (version VARCHAR PRIMARY KEY)",
    """CREATE FUNCTION fn_audit_added() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO deployment_audit (deployment_id, validator, chute_id, version)
        VALUES (NEW.deployment_id, NEW.validator, NEW.chute_id, NEW.version); RETURN NEW; END $$""",
    """CREATE FUNCTION fn_audit_verified() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF OLD.verified_at IS NULL AND NEW.verified_at IS NOT NULL THEN
        UPDATE deployment_audit SET verified_at = NEW.verified_at WHERE deployment_id = NEW.deployment_id; END IF;
        RETURN NEW; END $$""",
    "CREATE TRIGGER tr_audit_added AFTER INSERT ON deployments FOR EACH ROW EXECUTE FUNCTION fn_audit_added()",
    """CREATE TRIGGER tr_audit_verified AFTER UPDATE ON deployments FOR EACH ROW
        WHEN (OLD.verified_at IS NULL) EXECUTE FUNCTION fn_audit_verified()""",
)

OLD_ROWS: Final = (
    "INSERT INTO schema_migrations VALUES ('20240801000000')",
    """INSERT INTO servers (server_id, validator, name, labels, gpu_count, cpu_per_gpu, memory_per_gpu, hourly_cost)
        VALUES ('s1', 'v', 'node-1', '{}', 2, 0, 8, 1.5)""",
    """INSERT INTO chutes (chute_id, validator, image, code, filename, ref_str, version, supported_gpus, gpu_count)
        VALUES ('c1', 'v', 'a/b:1', 'code', 'f.py', 'f:chute', 'v1', '{h100}', 1)""",
    """INSERT INTO deployments (deployment_id, validator, chute_id, server_id, version, active)
        VALUES ('d1', 'v', 'c1', 's1', 'v1', TRUE)""",
    "UPDATE deployments SET verified_at = '2026-01-02 03:04:05'",
    """INSERT INTO gpus (gpu_id, server_id, deployment_id, device_info, model_short_ref, verified)
        VALUES ('g1', 's1', 'd1', '{}', 'h100', TRUE), ('g2', 's1', NULL, '{}', 'h100', TRUE)""",
)
