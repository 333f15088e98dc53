"""The SQL of Gepetto's writes and of its looks at single rows (spec: gepetto 15, 24.3, 24.10). Text alone.

Each statement is atomic by itself; those of a launch are four: reserve, permit, service, launched.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from app.gepetto.execution.fence import FencedWrite

# What manifests need. Neighbours by their rows: one is there before a copy's first object, until after its last pod.
PLAN_COLUMNS: Final = """
c.chute_id, c.version, c.image, c.ref_str, c.chutes_version, c.tee, c.filename,
       CASE WHEN c.tee THEN '' ELSE c.code END AS code, s.validator, s.server_id, s.name AS server_name,
       s.ip_address, s.cpu_per_gpu, s.memory_per_gpu, s.seed,
       ARRAY(SELECT DISTINCT d.chute_id FROM deployments d
              WHERE d.server_id = s.server_id AND d.chute_id <> c.chute_id) AS neighbours
  FROM chutes c, servers s WHERE c.chute_id = :chute_id AND s.server_id = :server_id
"""

RESERVE: Final = FencedWrite(
    """
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
SELECT (SELECT count(*) FROM claim) AS claimed,
"""  # noqa: S608 - both parts stand in this file
    + PLAN_COLUMNS
)

# A permit ends the row of refusals: the next one starts from the shortest pause again.
PERMIT: Final = FencedWrite("""
WITH row AS (
    UPDATE deployments SET config_id = :config_id WHERE {held} AND deployment_id = :deployment_id
    RETURNING deployment_id, chute_id
), forgotten AS (
    DELETE FROM gepetto_failures WHERE server_id = '*' AND chute_id IN (SELECT chute_id FROM row)
)
UPDATE gepetto_journal SET step = 'permitted', updated_at = now()
 WHERE deployment_id IN (SELECT deployment_id FROM row) AND kind = 'launch' AND done_at IS NULL RETURNING 1
""")

STEP: Final = FencedWrite("""
WITH nothing AS (SELECT 1)
UPDATE gepetto_journal SET step = :step, updated_at = now()
 WHERE {held} AND deployment_id = :deployment_id AND kind = :kind AND done_at IS NULL RETURNING 1
""")

LAUNCHED: Final = FencedWrite("""
WITH row AS (
    UPDATE deployments SET host = :host, port = :port, stub = false WHERE {held} AND deployment_id = :deployment_id
    RETURNING deployment_id
)
UPDATE gepetto_journal SET step = 'launched', updated_at = now(), done_at = now()
 WHERE deployment_id IN (SELECT deployment_id FROM row) AND kind = 'launch' AND done_at IS NULL RETURNING 1
""")

DRAIN: Final = text("""
INSERT INTO gepetto_journal (deployment_id, kind, step, server_id, chute_id, evidence, detail)
SELECT deployment_id, 'terminate', 'draining', server_id, chute_id, :evidence, :detail
  FROM deployments WHERE deployment_id = :deployment_id AND NOT (active AND :starting_only)
ON CONFLICT DO NOTHING RETURNING 1
""")

# Removal frees the GPUs (the foreign key sets them null), so it happens only once the pods are gone.
REMOVE: Final = text("""
WITH gone AS (DELETE FROM deployments WHERE deployment_id = :deployment_id RETURNING deployment_id)
UPDATE gepetto_journal SET step = :step, updated_at = now(), done_at = now(), detail = coalesce(:detail, detail)
 WHERE deployment_id = :deployment_id AND done_at IS NULL RETURNING (SELECT count(*) FROM gone)
""")

CLOSE: Final = text("""
UPDATE gepetto_journal SET step = :step, updated_at = now(), done_at = now(), detail = :detail
 WHERE deployment_id = :deployment_id AND done_at IS NULL RETURNING 1
""")

# A failure long after the last one's pause is the first of a new row.
FAILED: Final = text("""
INSERT INTO gepetto_failures (chute_id, server_id, count, until, reason)
VALUES (:chute_id, :server_id, 1, now() + make_interval(secs => :base), :reason)
ON CONFLICT (chute_id, server_id) DO UPDATE SET
    count = CASE WHEN gepetto_failures.until < now() - interval '1 hour' THEN 1 ELSE gepetto_failures.count + 1 END,
    reason = :reason,
    until = now() + make_interval(secs => least(:longest, :base * power(2, CASE
        WHEN gepetto_failures.until < now() - interval '1 hour' THEN 0 ELSE least(gepetto_failures.count, 16) END)))
""")

CAN_HAVE: Final = """
SELECT 1 FROM gpus WHERE gpu_id = ANY(:gpu_ids) AND server_id = :server_id AND verified
   AND (deployment_id IS NULL OR deployment_id = ANY(:victims)) HAVING count(*) = :count
"""

PRUNE: Final = (
    "DELETE FROM gepetto_decisions WHERE made_at < now() - make_interval(days => :days)",
    "DELETE FROM gepetto_journal WHERE done_at < now() - make_interval(days => :days)",
    "DELETE FROM gepetto_failures WHERE until < now() - make_interval(days => :days)",
)

PLAN: Final = text(f"SELECT {PLAN_COLUMNS}")
