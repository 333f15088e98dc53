"""A migrated database with made-up servers, GPUs and chutes, and an executor over fakes."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.gepetto.execution.ending import Ender
from app.gepetto.execution.executor import Executor
from app.gepetto.execution.launch import Launcher
from app.gepetto.execution.limits import TokenBucket
from app.gepetto.execution.store import Store
from app.gepetto.kubernetes.plan import PodSettings
from app.storage.engine import create_engine
from app.storage.migrate import migrate
from lab.kubernetes.apiserver import LocalApiServer
from tests.support.gepetto import HOTKEY, VALIDATOR
from tests.support.gepetto_outside import FakeClusters, FakeValidator


@pytest.fixture(scope="session")
def api_server() -> Iterator[LocalApiServer]:
    """An API server whose Jobs get pods, as a worker's own does; no kubelet runs them."""
    folder = Path(tempfile.mkdtemp(prefix="hf-gp-"))
    try:
        with LocalApiServer(folder, controllers=("job-controller", "garbage-collector-controller")) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url)
    await migrate(engine)
    yield engine
    await engine.dispose()


@dataclass
class Stage:
    """Database, fakes and an executor; `restart()` gives a new executor over the same database."""

    engine: AsyncEngine
    store: Store
    validator: FakeValidator = field(default_factory=FakeValidator)
    clusters: FakeClusters = field(default_factory=FakeClusters)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def restart(self) -> Executor:
        validators = {VALIDATOR: self.validator}
        settings = PodSettings(miner_ss58=HOTKEY)
        return Executor(
            launcher=Launcher(self.store, self.clusters, validators, settings),
            ender=Ender(self.store, self.clusters, validators, wait_seconds=0.2, poll_seconds=0.02),
            bucket=TokenBucket(1000, 1000, lambda: 0.0),
            new_id=lambda: str(uuid.UUID(int=next(self.numbers) + 1)),
        )

    async def add_server(self, number: int = 0, gpus: int = 8, *, tee: bool = True) -> str:
        server_id = f"server-{number:03}"
        async with self.engine.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO servers (server_id, validator, name, ip_address, labels, gpu_count, cpu_per_gpu,"
                    " memory_per_gpu, hourly_cost, locked, is_tee) VALUES"
                    " (:id, :validator, :name, '203.0.113.9', '{}', :gpus, 4, 80, 1.5, false, :tee)"
                ),
                {"id": server_id, "validator": VALIDATOR, "name": f"node-{number:03}", "gpus": gpus, "tee": tee},
            )
            for gpu in range(gpus):
                await connection.execute(
                    text(
                        "INSERT INTO gpus (gpu_id, validator, server_id, device_info, model_short_ref, verified)"
                        " VALUES (:gpu, :validator, :id, cast(:info AS jsonb), 'pro_6000', true)"
                    ),
                    {
                        "gpu": f"{number:04x}{gpu:028x}",
                        "validator": VALIDATOR,
                        "id": server_id,
                        "info": f'{{"index": "{gpu}"}}',
                    },
                )
        return server_id

    async def add_chute(self, number: int = 0, gpu_count: int = 1, *, tee: bool = True, runtime: str = "0.6.0") -> str:
        chute_id = f"chute-{number:03}"
        async with self.engine.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO chutes (chute_id, validator, name, image, code, filename, ref_str, version,"
                    " supported_gpus, gpu_count, chutes_version, preemptible, tee) VALUES (:id, :validator, 'made up',"
                    " 'someone/thing:1', 'print()', 'chute.py', 'chute:chute', '1', '{pro_6000}', :gpus, :runtime,"
                    " true, :tee)"
                ),
                {"id": chute_id, "validator": VALIDATOR, "gpus": gpu_count, "runtime": runtime, "tee": tee},
            )
        return chute_id

    async def count(self, table: str, condition: str = "true") -> int:
        async with self.engine.connect() as connection:
            found = await connection.execute(text(f"SELECT count(*) FROM {table} WHERE {condition}"))
            return int(found.scalar_one())

    async def is_clean(self) -> bool:
        """No rows, no claimed GPUs, no objects anywhere, no open journal entry."""
        rows = await self.count("deployments") + await self.count("gpus", "deployment_id IS NOT NULL")
        open_entries = await self.count("gepetto_journal", "done_at IS NULL")
        objects = sum(len(c.jobs) + len(c.services) for c in self.clusters.by_server.values())
        return rows + open_entries + objects == 0


@pytest.fixture
async def stage(engine: AsyncEngine) -> Stage:
    return Stage(engine, Store(engine))
