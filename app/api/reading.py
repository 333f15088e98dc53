"""The list of servers, built as JSON by the database and handed on as bytes: no rows, no models, no second encoding.

Requests that arrive while a query runs share the next one: each answer is newer than its request.
"""

from __future__ import annotations

import asyncio
from typing import Final

import asyncpg

TIMEOUT_SECONDS: Final = 10
CONNECT_TIMEOUT_SECONDS: Final = 5
CONNECTIONS: Final = 2

_ISO: Final = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')"""
_GPU: Final = """json_build_object('gpu_id', g.gpu_id, 'validator', g.validator, 'server_id', g.server_id,
    'deployment_id', g.deployment_id, 'device_info', g.device_info, 'model_short_ref', g.model_short_ref,
    'verified', g.verified)"""
#: All columns but the source code: nobody reads it here, and it is large (spec: protocol 23.2, 6).
_CHUTE: Final = f"""json_build_object('chute_id', c.chute_id, 'validator', c.validator, 'name', c.name,
    'image', c.image, 'code', NULL, 'filename', c.filename, 'ref_str', c.ref_str, 'version', c.version,
    'supported_gpus', c.supported_gpus, 'gpu_count', c.gpu_count, 'created_at', {_ISO.format("c.created_at")},
    'updated_at', {_ISO.format("c.updated_at")}, 'ban_reason', c.ban_reason, 'chutes_version', c.chutes_version,
    'preemptible', c.preemptible, 'tee', c.tee)"""
_DEPLOYMENT: Final = f"""json_build_object('deployment_id', d.deployment_id, 'instance_id', d.instance_id,
    'validator', d.validator, 'host', d.host, 'port', d.port, 'chute_id', d.chute_id, 'server_id', d.server_id,
    'version', d.version, 'active', d.active, 'verified_at', {_ISO.format("d.verified_at")},
    'activated_at', {_ISO.format("d.activated_at")}, 'stub', d.stub, 'job_id', d.job_id, 'config_id', d.config_id,
    'created_at', {_ISO.format("d.created_at")}, 'preemptible', d.preemptible,
    'gpus', coalesce((SELECT json_agg({_GPU} ORDER BY g.gpu_id) FROM gpus g
                       WHERE g.deployment_id = d.deployment_id), '[]'::json),
    'chute', (SELECT {_CHUTE} FROM chutes c WHERE c.chute_id = d.chute_id))"""  # noqa: S608 - no input in it
#: `kubeconfig` is a secret that no client reads from here.
SERVER_JSON: Final = f"""json_build_object('server_id', s.server_id, 'validator', s.validator, 'name', s.name,
    'ip_address', coalesce(s.ip_address, ''), 'agent_api', s.agent_api, 'verification_port', s.verification_port,
    'status', s.status, 'created_at', {_ISO.format("s.created_at")}, 'labels', s.labels, 'seed', s.seed,
    'gpu_count', s.gpu_count, 'cpu_per_gpu', s.cpu_per_gpu, 'memory_per_gpu', s.memory_per_gpu,
    'hourly_cost', s.hourly_cost, 'locked', coalesce(s.locked, false), 'kubeconfig', NULL,
    'is_tee', coalesce(s.is_tee, false),
    'gpus', coalesce((SELECT json_agg({_GPU} ORDER BY g.gpu_id) FROM gpus g
                       WHERE g.server_id = s.server_id), '[]'::json),
    'deployments', coalesce((SELECT json_agg({_DEPLOYMENT} ORDER BY d.created_at) FROM deployments d
                              WHERE d.server_id = s.server_id), '[]'::json))"""  # noqa: S608 - no input in it
LIST_SQL: Final = f"SELECT coalesce(json_agg({SERVER_JSON} ORDER BY s.name), '[]'::json)::text FROM servers s"  # noqa: S608
ONE_SQL: Final = f"SELECT {SERVER_JSON}::text FROM servers s WHERE s.server_id = $1"  # noqa: S608
JOBS_SQL: Final = """SELECT coalesce(json_agg(d ORDER BY d.created_at), '[]'::json)::text FROM deployments d
    WHERE d.server_id = $1 AND d.job_id IS NOT NULL"""


async def _keep(_: asyncpg.Connection) -> None:
    """Connections are given back as they are: reading leaves nothing on them, and a reset is a round trip more."""


class Reader:
    """Reads JSON from the database. Connects at the first call, and again after an outage."""

    def __init__(self, url: str) -> None:
        self._dsn = url.replace("+asyncpg", "", 1)
        self._pool: asyncpg.Pool | None = None
        self._listing: asyncpg.Connection | None = None
        self._opening = asyncio.Lock()
        self._waiting: list[asyncio.Future[bytes]] = []
        self._running: asyncio.Task[None] | None = None
        #: Asked for once: up to Python 3.11 the question is a system call.
        self._loop: asyncio.AbstractEventLoop | None = None

    def servers(self) -> asyncio.Future[bytes]:
        """All servers as a JSON array; from a query that begins after this call."""
        loop = self._loop = self._loop or asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        self._waiting.append(answer)
        if self._running is None or self._running.done():
            self._running = loop.create_task(self._serve())
        return answer

    async def _serve(self) -> None:
        """One query after the other on one connection, while anybody waits; each answers all who waited for it."""
        while self._waiting:
            asked: list[asyncio.Future[bytes]] = []
            try:
                connection = await self._connected()
                asked, self._waiting = self._waiting, []
                found: str = await connection.fetchval(LIST_SQL)
                _tell(asked, found.encode())
            except Exception as error:  # noqa: BLE001 - those who asked are told what it is, and judge it
                if not asked:
                    asked, self._waiting = self._waiting, []
                _tell(asked, error)

    async def _connected(self) -> asyncpg.Connection:
        """The list's own connection, made again where it ended: taking one from a pool costs as much as the query."""
        if self._listing is None or self._listing.is_closed():
            async with asyncio.timeout(TIMEOUT_SECONDS):
                self._listing = await asyncpg.connect(
                    self._dsn, timeout=CONNECT_TIMEOUT_SECONDS, command_timeout=TIMEOUT_SECONDS
                )
        return self._listing

    async def text(self, sql: str, *arguments: object) -> bytes:
        """One text value as bytes; `null` where there is no row."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            found: str | None = await (await self._open()).fetchval(sql, *arguments)
        return b"null" if found is None else found.encode()

    async def rows(self, sql: str, *arguments: object) -> list[tuple[object, ...]]:
        """Rows as tuples."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return [tuple(row) for row in await (await self._open()).fetch(sql, *arguments)]

    async def close(self) -> None:
        """End all connections."""
        if self._listing is not None:
            self._listing.terminate()
            self._listing = None
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def _open(self) -> asyncpg.Pool:
        if self._pool is None:
            async with self._opening:
                if self._pool is None:
                    self._pool = await asyncpg.create_pool(
                        self._dsn,
                        min_size=0,
                        max_size=CONNECTIONS,
                        timeout=CONNECT_TIMEOUT_SECONDS,
                        command_timeout=TIMEOUT_SECONDS,
                        reset=_keep,
                    )
        return self._pool


def _tell(asked: list[asyncio.Future[bytes]], outcome: bytes | Exception) -> None:
    """Answer those who still wait; who was cancelled does not."""
    for answer in asked:
        if answer.done():
            continue
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
