"""Everything that is not Gepetto, in a process of its own: `python -m tests.bench.gepetto.serve_outside`.

A database of 125 servers, a SIMULATED validator with 1,000 chutes, and clusters over HTTP. It says on its first line of
output where they are, and then one line for every Job that a cluster was asked for: when, and of which chute.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.storage.engine import create_engine
from app.storage.migrate import migrate
from lab.services.postgres import EmbeddedPostgres, temporary_folder
from lab.validator.app import SimulatedValidator
from tests.bench.gepetto.outside import CHUTES, Addresses, Job
from tests.support.serving import serving


def clusters_and_launches(on_job: Callable[[dict[str, object]], None] = lambda _: None) -> FastAPI:
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


def _tell(found: Addresses | Job) -> None:
    sys.stdout.buffer.write(orjson.dumps(found) + b"\n")
    sys.stdout.buffer.flush()


def _tell_of_job(body: dict[str, object]) -> None:
    labels = body["metadata"]["labels"]  # type: ignore[index]
    _tell(Job(labels["chutes/chute-id"], time.perf_counter()))


async def _serve(hotkey: str) -> None:
    folder = temporary_folder()
    try:
        with EmbeddedPostgres(folder / "data") as postgres:
            async with (
                database(postgres.url(), hotkey),
                serving(clusters_and_launches(_tell_of_job)) as clusters,
                SimulatedValidator(hotkey).listening() as validator,
            ):
                for number in range(CHUTES):
                    chute_id = validator.state.add_chute(f"simulated-{number}", supported_gpus=("pro_6000",))
                    validator.state.utilization[chute_id] = {"scalable": False}
                _tell(Addresses(postgres.url(), clusters, validator.url, hotkey))
                await asyncio.to_thread(sys.stdin.buffer.read)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
