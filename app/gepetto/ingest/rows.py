"""Our rows in one flat query: servers with GPUs, deployments, bans, failures, requests (spec: gepetto 24.3)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

_ROWS: Final = text("""
SELECT json_build_object(
 'servers', (SELECT coalesce(json_agg(s), '[]') FROM (
    SELECT s.server_id, s.name, s.validator, s.ip_address, s.hourly_cost, coalesce(s.locked, false) AS locked,
           coalesce(s.is_tee, false) AS is_tee, s.labels, s.gpu_count,
           coalesce((SELECT json_agg(json_build_array(g.gpu_id, g.model_short_ref, coalesce(g.verified, false),
                                     g.deployment_id, g.device_info->>'index') ORDER BY g.gpu_id)
                       FROM gpus g WHERE g.server_id = s.server_id), '[]') AS gpus
      FROM servers s ORDER BY s.server_id) s),
 'deployments', (SELECT coalesce(json_agg(d), '[]') FROM (
    SELECT d.deployment_id, d.chute_id, d.version, d.server_id, d.validator, d.stub, d.active, d.job_id, d.config_id,
           d.instance_id, coalesce(d.preemptible, true) AS preemptible,
           extract(epoch FROM d.created_at) AS created_at, extract(epoch FROM d.verified_at) AS verified_at,
           extract(epoch FROM d.activated_at) AS activated_at,
           EXISTS (SELECT 1 FROM gepetto_journal j WHERE j.deployment_id = d.deployment_id AND j.done_at IS NULL
                      AND j.kind = 'terminate') AS draining,
           (SELECT extract(epoch FROM max(j.updated_at)) FROM gepetto_journal j
             WHERE j.deployment_id = d.deployment_id AND j.done_at IS NULL AND j.kind = 'launch') AS worked_at
      FROM deployments d ORDER BY d.deployment_id) d),
 'chutes', (SELECT coalesce(json_agg(json_build_array(chute_id, version, ban_reason, image, chutes_version)), '[]')
              FROM chutes),
 'failures', (SELECT coalesce(json_agg(json_build_array(chute_id, server_id, count, extract(epoch FROM until))), '[]')
                FROM gepetto_failures WHERE until > now()),
 'cached', (SELECT coalesce(json_agg(DISTINCT jsonb_build_array(server_id, chute_id)), '[]') FROM gepetto_journal
             WHERE kind = 'launch' AND step = 'launched' AND created_at > now() - interval '7 days'),
 'requests', (SELECT coalesce(json_agg(json_build_array(id, kind, subject, extract(epoch FROM created_at))), '[]')
                FROM intents WHERE done_at IS NULL)
)::text
""")


@dataclass(frozen=True, slots=True)
class ServerRow:
    server_id: str
    name: str
    validator: str
    ip_address: str | None
    hourly_cost: float
    locked: bool
    is_tee: bool
    labels: dict[str, str]
    gpu_count: int
    gpus: tuple[tuple[str, str, bool, str | None], ...]


@dataclass(frozen=True, slots=True)
class DeploymentRow:
    deployment_id: str
    chute_id: str
    version: str
    server_id: str
    validator: str
    stub: bool | None
    active: bool | None
    job_id: str | None
    config_id: str | None
    instance_id: str | None
    preemptible: bool
    created_at: float | None
    verified_at: float | None
    activated_at: float | None
    draining: bool
    worked_at: float | None


@dataclass(frozen=True, slots=True)
class ChuteRow:
    chute_id: str
    version: str
    banned: bool
    image: str
    chutes_version: str | None


@dataclass(frozen=True, slots=True)
class Request:
    """An operator's open request of the miner API."""

    id: int
    kind: str
    subject: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Rows:
    """One consistent reading of the database."""

    servers: tuple[ServerRow, ...] = ()
    deployments: tuple[DeploymentRow, ...] = ()
    chutes: tuple[ChuteRow, ...] = ()
    failures: tuple[tuple[str, str, int, float], ...] = ()
    requests: tuple[Request, ...] = ()
    cached: tuple[tuple[str, str], ...] = ()


def _gpu_order(gpu: list[str | None]) -> tuple[int, str]:
    index = gpu[4]
    return (int(index) if index is not None and index.isdigit() else 1000, str(gpu[0]))


def parse_rows(body: str) -> Rows:
    """Rows from the query's JSON."""
    found = orjson.loads(body)
    servers = []
    for item in found["servers"]:
        gpus = tuple((g[0], g[1], bool(g[2]), g[3]) for g in sorted(item.pop("gpus"), key=_gpu_order))
        servers.append(ServerRow(**{**item, "labels": item["labels"] or {}}, gpus=gpus))
    return Rows(
        servers=tuple(servers),
        deployments=tuple(DeploymentRow(**item) for item in found["deployments"]),
        chutes=tuple(ChuteRow(i, v, ban is not None, image, runtime) for i, v, ban, image, runtime in found["chutes"]),
        failures=tuple((c, s, n, until) for c, s, n, until in found["failures"]),
        requests=tuple(Request(*item) for item in found["requests"]),
        cached=tuple((server, chute) for server, chute in found["cached"]),
    )


async def read_rows(engine: AsyncEngine) -> Rows:
    """All of it, in one statement and thus one moment."""
    async with asyncio.timeout(30), engine.connect() as connection:
        return parse_rows((await connection.execute(_ROWS)).scalar_one())
