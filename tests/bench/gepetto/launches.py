"""1,000 cold launches against a validator and clusters that are real HTTP servers on loopback, with made-up answers."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import uvicorn
from bittensor_wallet import Keypair
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.gepetto.decision.intents import Launch
from app.gepetto.execution.ending import Ender
from app.gepetto.execution.executor import Executor
from app.gepetto.execution.fence import Fence
from app.gepetto.execution.fenced import FencedClusters, FencedValidator
from app.gepetto.execution.launch import Launcher
from app.gepetto.execution.limits import TokenBucket
from app.gepetto.execution.store import Store
from app.gepetto.ingest.validators import ValidatorAdapter
from app.gepetto.kubernetes.client import ClusterClient
from app.gepetto.kubernetes.plan import PodSettings
from app.protocol.signing import Signer
from app.protocol.validators import ValidatorEntry
from app.storage.engine import create_engine
from app.storage.migrate import migrate
from app.validators.client import ValidatorClient
from app.validators.transport import Transport, new_http_client
from lab.services.postgres import EmbeddedPostgres, temporary_folder
from lab.services.redis import free_port
from tests.support.gepetto import VALIDATOR, make_chute, make_server, make_snapshot

SERVERS = 125


def outside(on_job: Callable[[dict[str, object]], None] = lambda _: None) -> FastAPI:
    """A validator that answers in 50 ms, and a Kubernetes API that keeps Services by name and tells of Jobs."""
    app, services, numbers = FastAPI(), dict[str, dict[str, object]](), itertools.count(30000)

    @app.get("/instances/launch_config")
    async def config() -> dict[str, str]:
        await asyncio.sleep(0.05)
        return {"token": "made-up", "config_id": str(uuid.uuid4())}

    @app.post("/{cluster}/api/v1/namespaces/chutes/services", status_code=201)
    async def service(cluster: str, request: Request) -> dict[str, object]:
        body: dict[str, object] = await request.json()
        for port in body["spec"]["ports"]:  # type: ignore[index]
            port["nodePort"] = next(numbers)
        services[body["metadata"]["name"]] = body  # type: ignore[index]
        return body

    @app.get("/{cluster}/api/v1/namespaces/chutes/services/{name}")
    async def found(cluster: str, name: str) -> JSONResponse:
        return JSONResponse(services.get(name, {}), 200 if name in services else 404)

    @app.post("/{cluster}/apis/batch/v1/namespaces/chutes/jobs", status_code=201)
    async def job(cluster: str, request: Request) -> dict[str, object]:
        body: dict[str, object] = await request.json()
        on_job(body)
        return body

    @app.get("/{cluster}/api/v1/namespaces/chutes/pods")
    @app.get("/{cluster}/apis/batch/v1/namespaces/chutes/jobs")
    async def nothing(cluster: str) -> dict[str, object]:
        return {"items": []}

    @app.get("/{cluster}/api/v1/nodes")
    async def nodes(cluster: str) -> dict[str, object]:
        return {"items": [{"status": {"capacity": {"ephemeral-storage": "2000Gi"}}}]}

    return app


class LoopbackClusters:
    """Every server's cluster is a path of one HTTP server."""

    def __init__(self, base: str) -> None:
        self._base, self._clients = base, dict[str, ClusterClient]()

    async def of(self, server_id: str) -> ClusterClient:
        if server_id not in self._clients:
            http = httpx.AsyncClient(base_url=f"{self._base}/{server_id}")
            self._clients[server_id] = ClusterClient(http, "chutes")
        return self._clients[server_id]

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()


@asynccontextmanager
async def database(url: str, validator: str, *, tee: bool = False) -> AsyncIterator[AsyncEngine]:
    """A migrated database with 125 servers of eight GPUs."""
    engine = create_engine(url)
    try:
        await migrate(engine)
        await _fill(engine, validator, tee=tee)
        yield engine
    finally:
        await engine.dispose()


async def _fill(engine: AsyncEngine, validator: str, *, tee: bool) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO servers (server_id, validator, name, ip_address, labels, gpu_count, cpu_per_gpu,"
                " memory_per_gpu, hourly_cost, is_tee) SELECT 'server-' || to_char(i, 'FM000'), :v, 'node-' || i,"
                " '203.0.113.9', '{}', 8, 4, 80, 1, :tee FROM generate_series(0, 124) i"
            ),
            {"v": validator, "tee": tee},
        )
        await connection.execute(
            text(
                "INSERT INTO gpus (gpu_id, server_id, device_info, model_short_ref, verified)"
                " SELECT lpad(to_hex(i), 4, '0') || lpad(to_hex(g), 28, '0'), 'server-' || to_char(i, 'FM000'), '{}',"
                " 'pro_6000', true FROM generate_series(0, 124) i, generate_series(0, 7) g"
            )
        )
        await connection.execute(
            text(
                "INSERT INTO chutes (chute_id, validator, image, code, filename, ref_str, version, supported_gpus,"
                " gpu_count, chutes_version, preemptible, tee) VALUES ('chute-000', :v, 'a/b:1', '', '', 'c:c', '1',"
                " '{pro_6000}', 1, '0.6.0', true, true)"
            ),
            {"v": validator},
        )


async def cold_launches(count: int = 1000) -> tuple[float, int, float]:
    """Seconds, launches that worked, and SQL statements per launch."""
    folder, port = temporary_folder(), free_port()
    server = uvicorn.Server(uvicorn.Config(outside(), host="127.0.0.1", port=port, log_level="error"))
    serving = asyncio.create_task(server.serve())
    base = f"http://127.0.0.1:{port}"
    try:
        with EmbeddedPostgres(folder / "data") as postgres:
            async with database(postgres.url(), VALIDATOR, tee=True) as engine:
                return await _run(engine, base, count)
    finally:
        server.should_exit = True
        with suppress(asyncio.CancelledError):
            await serving
        shutil.rmtree(folder, ignore_errors=True)


async def _run(engine: AsyncEngine, base: str, count: int) -> tuple[float, int, float]:
    statements = [0]

    def counted(*_: object) -> None:
        statements[0] += 1

    event.listen(engine.sync_engine, "before_cursor_execute", counted)
    clusters, http = LoopbackClusters(base), new_http_client()
    signer = Signer(Keypair.create_from_mnemonic(Keypair.generate_mnemonic()))
    entry = ValidatorEntry(hotkey=VALIDATOR, api=base, socket="ws://127.0.0.1:1")
    ports = {VALIDATOR: ValidatorAdapter(ValidatorClient(Transport(entry, signer, http)))}
    fence, results = Fence(engine), list[str]()
    await fence.take_over()
    store, fenced = Store(engine, fence), FencedClusters(clusters, fence)
    acting = {hotkey: FencedValidator(port, fence) for hotkey, port in ports.items()}
    executor = Executor(
        launcher=Launcher(store, fenced, acting, PodSettings(miner_ss58=signer.ss58)),
        ender=Ender(store, fenced, acting),
        bucket=TokenBucket(10.0, 20, time.monotonic),
        new_id=lambda: str(uuid.uuid4()),
        report=lambda _, result: results.append(result),
    )
    snapshot = make_snapshot(tuple(make_server(i) for i in range(SERVERS)), (make_chute(),))
    began = time.perf_counter()
    plan = tuple(Launch("chute-000", "1", f"server-{i % SERVERS:03}", 1 << (i // SERVERS)) for i in range(count))
    executor.submit(plan, snapshot)
    task = asyncio.create_task(executor.run())
    await executor.drained()
    seconds = time.perf_counter() - began
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await clusters.close()
    await http.aclose()
    return seconds, results.count("launched"), statements[0] / max(1, len(results))
