"""`python -m tests.bench.api`: authenticated requests per CPU second, ours and the peer's, in one run.

CPU time is that of the serving process alone, read from /proc, so that a busy machine distorts ratios little. Both
serve with one worker from the same database. Latency is wall time and does suffer on a busy machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.protocol.signing import Purpose
from app.storage.additions import NodeProfile
from app.storage.engine import create_engine
from app.storage.migrate import migrate
from app.storage.models import Chute, Deployment, Gpu, Server
from lab.services.postgres import EmbeddedPostgres, temporary_folder
from lab.services.redis import EmbeddedRedis, free_port
from tests.bench.api.load import Result, paced, request, saturate
from tests.support.api import environment, settings
from tests.support.control import MINER

SERVERS: Final = 4
DEPLOYMENTS: Final = 8  # on each server
CONNECTIONS: Final = 32
REGISTRY_PER_SECOND: Final = 200
REGISTRY_SECONDS: Final = 10
OURS: Final = [sys.executable, "-m", "app.api", "--workers", "1", "--host", "127.0.0.1", "--port"]
PEER: Final = [
    sys.executable, "-m", "uvicorn", "--factory", "tests.bench.api.peer:create", "--http", "h11", "--loop", "asyncio",
    "--host", "127.0.0.1", "--port",
]  # fmt: skip


async def fill(url: str) -> None:
    """4 servers with 8 GPUs and 8 deployments each, of chutes with 20 kB of source."""
    engine = create_engine(url)
    async with AsyncSession(engine) as session, session.begin():
        for c in range(8):
            session.add(
                Chute(
                    chute_id=f"chute-{c}", validator="v", name=f"chute {c}", image="a/b:1", code="x = 1\n" * 3500,
                    filename="a.py", ref_str="a:chute", version="1", supported_gpus=["h100"], gpu_count=1,
                )
            )  # fmt: skip
        await session.flush()
        for s in range(SERVERS):
            session.add(
                Server(
                    server_id=f"server-{s}", validator="v", name=f"node-{s}", ip_address=f"127.0.0.{s + 1}", labels={},
                    status="Ready", gpu_count=8, hourly_cost=2.0, kubeconfig="apiVersion: v1\n" * 100,
                )
            )  # fmt: skip
        await session.flush()
        session.add(NodeProfile(server_id="server-0", registry_token_sha256=hashlib.sha256(b"token").hexdigest()))
        for s in range(SERVERS):
            for d in range(DEPLOYMENTS):
                session.add(
                    Deployment(
                        deployment_id=f"deployment-{s}-{d}", validator="v", chute_id=f"chute-{d}", host="h", port=31000,
                        server_id=f"server-{s}", version="1", active=True, config_id=f"config-{s}-{d}",
                    )
                )  # fmt: skip
        await session.flush()
        device: dict[str, object] = {"name": "NVIDIA H100", "memory": 80_000_000_000, "clock_rate": 1980000.0}
        session.add_all(
            Gpu(
                gpu_id=f"gpu-{s}-{d}", server_id=f"server-{s}", deployment_id=f"deployment-{s}-{d}", device_info=device,
                model_short_ref="h100", verified=True,
            )
            for s in range(SERVERS)
            for d in range(DEPLOYMENTS)
        )  # fmt: skip
    await engine.dispose()


async def clear(url: str) -> None:
    """A migrated database without rows."""
    engine = create_engine(url)
    await migrate(engine)
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM servers"))
    await engine.dispose()


@contextmanager
def serving(command: list[str], variables: dict[str, str]) -> Iterator[tuple[int, int]]:
    """A server process; gives its process id and port."""
    port = free_port()
    quiet = subprocess.DEVNULL  # the peer writes a line for each request
    process = subprocess.Popen([*command, str(port)], env=variables, cwd=Path.cwd(), stdout=quiet, stderr=quiet)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/ping").status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait(20)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def signed(count: int) -> list[bytes]:
    """Requests for the list, each with a signature of its own."""
    nonce = str(int(time.time()) + 5)
    return [request("/servers/", MINER.management_headers(nonce, purpose=Purpose.MANAGEMENT)) for _ in range(count)]


def per_cpu_second(pid: int, port: int, count: int) -> tuple[float, Result]:
    """Authenticated requests per CPU second of the serving process, after a short warm-up."""
    asyncio.run(saturate(port, signed(50), 4))
    requests = signed(count)
    before = cpu_seconds(pid)
    result = asyncio.run(saturate(port, requests, CONNECTIONS))
    if result.refused:
        raise RuntimeError(f"{result.refused} of {result.answered} requests were refused: the figures mean nothing")
    return result.answered / (cpu_seconds(pid) - before), result


def measure(what: str, variables: dict[str, str], counts: tuple[int, int], report: Table) -> None:
    """Peer, then ours, then our latency at half of our rate."""
    with serving(PEER, variables) as (pid, port):
        peer, peer_result = per_cpu_second(pid, port, counts[0])
    with serving(OURS, variables) as (pid, port):
        ours, result = per_cpu_second(pid, port, counts[1])
        rate = result.answered / result.elapsed_seconds / 2
        half = asyncio.run(paced(port, signed(int(min(rate * 5, 8000))), rate))
    peer_p99 = f"{peer_result.percentile_ms(0.99):.1f}"
    report.add_row(
        what, f"{peer:.0f}", f"{ours:.0f}", f"{ours / peer:.1f}x", peer_p99, f"{half.percentile_ms(0.99):.1f}"
    )


def registry(variables: dict[str, str]) -> Result:
    """Registry authorisations at a steady rate."""
    raw = request("/registry/auth", {"X-Headframe-Node-Token": "token", "X-Original-URI": "/v2/a/b/manifests/1"})
    with serving(OURS, variables) as (_, port):
        asyncio.run(saturate(port, [raw] * 50, 2))
        return asyncio.run(paced(port, [raw] * (REGISTRY_PER_SECOND * REGISTRY_SECONDS), REGISTRY_PER_SECOND))


def main() -> None:
    folder = temporary_folder()
    columns = (
        "list",
        "peer: per CPU s",
        "ours: per CPU s",
        "ratio",
        "peer p99 ms (full load)",
        "ours p99 ms (half load)",
    )
    report = Table(*columns, title="Authenticated requests, one worker each")
    try:
        with EmbeddedPostgres(folder / "data") as postgres, EmbeddedRedis(folder / "redis") as redis:
            postgres.create_database("bench")
            url = postgres.url("bench")
            variables = environment(settings(url, redis.url))
            asyncio.run(clear(url))
            measure("empty", variables, (600, 6000), report)
            asyncio.run(fill(url))
            measure(f"{SERVERS} servers, {SERVERS * DEPLOYMENTS} deployments", variables, (150, 3000), report)
            found = registry(variables)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    Console(width=160).print(report)
    print(
        f"registry auth at {REGISTRY_PER_SECOND}/s: p50 {found.percentile_ms(0.5):.1f} ms, "
        f"p99 {found.percentile_ms(0.99):.1f} ms, refused {found.refused} of {found.answered}"
    )
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores: latencies of a busy machine say little")


if __name__ == "__main__":
    main()
