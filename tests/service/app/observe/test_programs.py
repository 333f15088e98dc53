"""Monitor and agent as programs: started from the environment alone, serving, ended by a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import orjson
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from app.storage.engine import create_engine
from app.storage.migrate import migrate
from lab.kubernetes.apiserver import LocalApiServer
from lab.services.redis import EmbeddedRedis, free_port
from tests.support.agents import eventually
from tests.support.observe import SEED, SIGNER

pytestmark = pytest.mark.service


@asynccontextmanager
async def program(module: str, port: int, **environment: str) -> AsyncIterator[httpx.AsyncClient]:
    values = {
        "PATH": os.environ["PATH"],
        "MINER_SS58": SIGNER.ss58,
        "MINER_SEED": SEED,
        "PORT": str(port),
        **environment,
    }
    values |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, env=values)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            await eventually(lambda: _answers(client), what=f"{module} to serve")
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) in {0, -signal.SIGTERM}


async def test_an_agent_reports_to_a_monitor(
    redis: Redis, redis_server: EmbeddedRedis, database_url: str, api_server: LocalApiServer, tmp_path: Path
) -> None:
    engine = create_engine(database_url)
    await migrate(engine)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO servers (server_id, validator, name, labels, gpu_count, cpu_per_gpu, memory_per_gpu,"
                " hourly_cost) VALUES ('u','v','gpu-1','{}',1,1,1,1)"
            )
        )
    await engine.dispose()
    monitor_port = free_port()
    monitor = program("app.observe", monitor_port, REDIS_URL=redis_server.url, POSTGRESQL=database_url)
    agent = program(
        "agent.watch",
        free_port(),
        CLUSTER_NAME="gpu-1",
        CONTROL_PLANE_URL_FILE=str(tmp_path / "url"),
        KUBECONFIG=str(api_server.kubeconfig),
    )
    async with monitor, agent as client:
        body = orjson.dumps({"control_plane_url": f"http://127.0.0.1:{monitor_port}"})
        headers = SIGNER.management_headers(str(int(time.time())), body=body)
        answer = await client.post("/monitor/start", content=body, headers=headers, timeout=30)
        assert (answer.status_code, answer.json()["message"]) == (200, "Monitoring started")
        await eventually(lambda: _is_active(redis), what="the heartbeat")


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/ping")).status_code == 200
    except httpx.HTTPError:
        return False


async def _is_active(redis: Redis) -> bool:
    return bool(await redis.hget("clusters:gpu-1:health", "state") == b"active")
