"""1,000 cold launches against a validator and clusters that are real HTTP servers on loopback, with made-up answers."""

from __future__ import annotations

import asyncio
import shutil
import time
import uuid
from contextlib import suppress

import uvicorn
from bittensor_wallet import Keypair
from sqlalchemy import event
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
from app.gepetto.kubernetes.plan import PodSettings
from app.protocol.signing import Signer
from app.protocol.validators import ValidatorEntry
from app.validators.client import ValidatorClient
from app.validators.transport import Transport, new_http_client
from lab.services.postgres import EmbeddedPostgres, temporary_folder
from lab.services.redis import free_port
from tests.bench.gepetto.clusters import LoopbackClusters
from tests.bench.gepetto.outside import SERVERS
from tests.bench.gepetto.serve_outside import clusters_and_launches, database
from tests.support.gepetto import VALIDATOR, make_chute, make_server, make_snapshot


async def cold_launches(count: int = 1000) -> tuple[float, int, float]:
    """Seconds, launches that worked, and SQL statements per launch."""
    folder, port = temporary_folder(), free_port()
    server = uvicorn.Server(uvicorn.Config(clusters_and_launches(), host="127.0.0.1", port=port, log_level="error"))
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
