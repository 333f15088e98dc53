"""Every program of the agents and the monitor runs as a container runs it: read-only root, no root user, settings from
the environment, routes for probes, an end when it is told to end."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path

import httpx
import orjson
import pytest
from redis.asyncio import Redis

from app.protocol.signing import Purpose
from lab.kubernetes.apiserver import LocalApiServer
from lab.services.redis import EmbeddedRedis, free_port
from tests.support.agents import Cluster, eventually
from tests.support.caches import add_repository
from tests.support.confinement import confined_program, run_confined
from tests.support.kubernetes_objects import node, pod, snapshot
from tests.support.observe import SEED, SIGNER, AgentClient

pytestmark = pytest.mark.service
IDENTITY = {"MINER_SS58": SIGNER.ss58, "MINER_SEED": SEED}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_the_monitor_takes_big_lists_and_ends_when_told(
    redis: Redis, redis_server: EmbeddedRedis, inventory_url: str, tmp_path: Path
) -> None:
    port = free_port()
    values = IDENTITY | {"REDIS_URL": redis_server.url, "POSTGRESQL": inventory_url, "PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    async with confined_program("app.observe", tmp_path, values), httpx.AsyncClient(base_url=url) as probe:
        await eventually(lambda: _is_ok(probe, "/health"), what="the monitor to serve")
        await eventually(lambda: _is_ok(probe, "/ready"), what="the monitor to be ready")
        async with AgentClient(url) as agent:
            body = snapshot([pod(f"p{n}", size=4000) for n in range(500)], nodes=[node("gpu-1")])
            assert len(body) > 1 << 20, "big enough for a file and a process of its own"
            assert (await agent.register(body)).status_code == 200
            assert (await agent.beat()).status_code == 200
        assert await redis.hlen("clusters:gpu-1:resources:pod") == 500
    assert names_in(tmp_path) == [], "nothing is left behind"


async def test_the_agent_keeps_its_address_and_ends_when_told(
    api_server: LocalApiServer, cluster: Cluster, tmp_path: Path
) -> None:
    port, kubeconfig = free_port(), tmp_path / "kubeconfig"
    kubeconfig.write_text(api_server.kubeconfig.read_text())
    values = IDENTITY | {
        "CLUSTER_NAME": "gpu-1",
        "WATCH_NAMESPACES": json.dumps([cluster.namespace]),
        "KUBECONFIG": str(kubeconfig),
        "CONTROL_PLANE_URL_FILE": str(tmp_path / "control_plane_url"),
        "PORT": str(port),
    }
    url = f"http://127.0.0.1:{port}"
    async with confined_program("agent.watch", tmp_path, values), httpx.AsyncClient(base_url=url, timeout=30) as probe:
        await eventually(lambda: _is_ok(probe, "/monitor/health"), what="the agent to serve")
        body = orjson.dumps({"control_plane_url": "http://127.0.0.1:1"})
        headers = SIGNER.management_headers(str(int(time.time())), body=body)
        assert (await probe.post("/monitor/start", content=body, headers=headers)).status_code == 500
        assert (await probe.get("/monitor/status")).json()["state"] == "degraded"
        assert (await probe.get("/metrics")).status_code == 200
        refused = SIGNER.management_headers(str(int(time.time())), purpose=Purpose.MANAGEMENT)
        assert (await probe.get("/monitor/stop", headers=refused)).status_code == 401
    assert (tmp_path / "control_plane_url").read_text() == "http://127.0.0.1:1", "an end by signal forgets nothing"


async def test_the_cleaner_writes_its_cache_alone(tmp_path: Path) -> None:
    old = add_repository(tmp_path / "hub", "models--org--old", {"r1": [("b", 2000)]}, 90)
    values = {"HF_HOME": str(tmp_path), "GPU_IDLE_SECONDS": "0", "CACHE_MAX_SIZE_GB": "0"}
    code, output = await run_confined("agent.cache", tmp_path, values)
    assert (code, json.loads(output)["freed_bytes"]) == (0, 2000)
    assert not old.exists()


async def test_the_clean_up_needs_a_cluster_and_nothing_else(
    api_server: LocalApiServer, cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "kubeconfig").write_text(api_server.kubeconfig.read_text())
    values = {"KUBECONFIG": str(tmp_path / "kubeconfig"), "NAMESPACE": cluster.namespace}
    code, output = await run_confined("agent.cleanup", tmp_path, values)
    assert (code, json.loads(output)) == (0, {"removed": [], "problems": []})


async def test_the_audit_says_what_it_lacked_and_no_secret(inventory_url: str, tmp_path: Path) -> None:
    hotkey, seed = SIGNER.ss58, secrets.token_hex(32)
    supported = {
        "supported": [
            {"hotkey": hotkey, "registry": "r.invalid", "api": "http://127.0.0.1:1", "socket": "ws://127.0.0.1:1"}
        ]
    }
    values = {
        "MINER_SS58": hotkey,
        "MINER_SEED": seed,
        "POSTGRESQL": inventory_url,
        "VALIDATORS": json.dumps(supported),
        "PROMETHEUS_URL": "http://127.0.0.1:1",
    }
    code, output = await run_confined("app.audit", tmp_path, values)
    assert code == 1
    assert "audit failed" in output
    assert seed not in output
    code, output = await run_confined("app.audit", tmp_path, values | {"NETUID": "many"})
    assert (code, seed in output) == (1, False)


async def _is_ok(client: httpx.AsyncClient, path: str) -> bool:
    try:
        return (await client.get(path)).status_code == 200
    except httpx.HTTPError:
        return False
