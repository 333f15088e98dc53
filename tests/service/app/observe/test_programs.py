"""Monitor and agent as programs, joined by the environment alone; one of them, or the API server, pauses (X8)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
import pytest
from redis.asyncio import Redis

from lab.kubernetes.apiserver import LocalApiServer
from lab.services.redis import EmbeddedRedis, free_port
from tests.support.agents import Cluster, eventually
from tests.support.observe import SEED, SIGNER

pytestmark = pytest.mark.service


@dataclass(frozen=True)
class Program:
    """A program that serves."""

    process: asyncio.subprocess.Process
    http: httpx.AsyncClient

    async def state(self) -> str:
        return str((await self.http.get("/monitor/status")).json()["state"])


@asynccontextmanager
async def program(module: str, port: int, **environment: str) -> AsyncIterator[Program]:
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
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            await eventually(lambda: _answers(client), what=f"{module} to serve")
            yield Program(process, client)
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) in {0, -signal.SIGTERM}


@dataclass(frozen=True)
class Pair:
    """A monitor and an agent that reports to it."""

    monitor: Program
    agent: Program
    cluster: Cluster
    redis: Redis

    async def holds(self, name: str) -> bool:
        field = f"{self.cluster.namespace}:{name}"
        return bool(await self.redis.hexists("clusters:gpu-1:resources:pod", field))

    async def pods(self) -> int:
        return int(await self.redis.hlen("clusters:gpu-1:resources:pod"))


@pytest.fixture
async def pair(
    redis: Redis,
    redis_server: EmbeddedRedis,
    inventory_url: str,
    api_server: LocalApiServer,
    cluster: Cluster,
    tmp_path: Path,
) -> AsyncIterator[Pair]:
    port = free_port()
    monitor = program("app.observe", port, REDIS_URL=redis_server.url, POSTGRESQL=inventory_url)
    agent = program(
        "agent.watch",
        free_port(),
        CLUSTER_NAME="gpu-1",
        WATCH_NAMESPACES=f'["{cluster.namespace}"]',
        CONTROL_PLANE_URL_FILE=str(tmp_path / "url"),
        KUBECONFIG=str(api_server.kubeconfig),
        HEARTBEAT_INTERVAL="0.5",
        CONTROL_PLANE_TIMEOUT="2",
    )
    await cluster.create_pod("before")
    async with monitor as monitor_program, agent as agent_program:
        body = orjson.dumps({"control_plane_url": f"http://127.0.0.1:{port}"})
        headers = SIGNER.management_headers(str(int(time.time())), body=body)
        answer = await agent_program.http.post("/monitor/start", content=body, headers=headers)
        assert (answer.status_code, answer.json()["message"]) == (200, "Monitoring started")
        yield Pair(monitor_program, agent_program, cluster, redis)


@contextmanager
def paused(process_id: int) -> Iterator[None]:
    """Connections stay open and nobody answers, as behind a firewall that drops everything."""
    os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)


async def test_an_agent_reports_to_a_monitor(pair: Pair) -> None:
    await eventually(lambda: _is_active(pair.redis), what="the heartbeat")
    assert await pair.holds("before")


async def test_x8_a_monitor_that_pauses_makes_the_agent_degraded_and_loses_nothing(pair: Pair) -> None:
    with paused(pair.monitor.process.pid):
        await pair.cluster.create_pod("meanwhile")
        await eventually(lambda: _is_state(pair.agent, "degraded"), what="the agent to notice")
    await eventually(lambda: _is_state(pair.agent, "running"), what="the agent to go on")
    await eventually(lambda: pair.holds("meanwhile"), what="what happened meanwhile")
    assert await pair.holds("before")
    metrics = (await pair.agent.http.get("/metrics")).text
    assert "headframe_agent_snapshots_total 1.0" in metrics, "a pause alone needs no new list"


async def test_x8_an_agent_that_pauses_hides_nothing_and_catches_up(pair: Pair) -> None:
    await eventually(lambda: _is_active(pair.redis), what="the heartbeat")
    with paused(pair.agent.process.pid):
        await pair.cluster.create_pod("meanwhile")
        await asyncio.sleep(1)
        assert await pair.pods() == 1
    await eventually(lambda: pair.holds("meanwhile"), what="what happened meanwhile")


async def test_x8_an_api_server_that_pauses_takes_nothing_away(pair: Pair, api_server: LocalApiServer) -> None:
    await eventually(lambda: _is_active(pair.redis), what="the heartbeat")
    with paused(api_server.process_id("kube-apiserver")):
        await asyncio.sleep(2)
        assert await pair.pods() == 1
        assert await _is_active(pair.redis)
    await pair.cluster.create_pod("after")
    await eventually(lambda: pair.holds("after"), what="the watch to go on")
    assert await pair.holds("before")


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/ping")).status_code == 200
    except httpx.HTTPError:
        return False


async def _is_active(redis: Redis) -> bool:
    return bool(await redis.hget("clusters:gpu-1:health", "state") == b"active")


async def _is_state(agent: Program, state: str) -> bool:
    return await agent.state() == state
