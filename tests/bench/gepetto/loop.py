"""The whole loop at 1,000 GPUs and 1,000 chutes: PostgreSQL for real; validator and clusters are HTTP servers (24.4).

The SIMULATED validator and the clusters answer in this very process, so their work counts against the loop's figures.
"""

from __future__ import annotations

import asyncio
import resource
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.gepetto.deciders import BuiltIn
from app.gepetto.decision.configuration import Configuration, PlacementConfiguration, WarmUpConfiguration
from app.gepetto.execution.ending import Ender
from app.gepetto.execution.executor import Executor
from app.gepetto.execution.launch import Launcher
from app.gepetto.execution.leader import Leadership
from app.gepetto.execution.limits import TokenBucket
from app.gepetto.execution.store import Store
from app.gepetto.ingest.clusters import LiveClusters
from app.gepetto.ingest.events import EventIntake
from app.gepetto.ingest.feeds import FeedReader
from app.gepetto.ingest.validators import ValidatorAdapter
from app.gepetto.ingest.world import World
from app.gepetto.kubernetes.plan import PodSettings
from app.gepetto.metrics import Metrics
from app.gepetto.service import Cadence, Gepetto
from app.protocol.events import Event, Reason, understand
from app.validators.transport import new_http_client
from lab.services.postgres import EmbeddedPostgres, temporary_folder
from lab.validator.app import SimulatedValidator
from tests.bench.gepetto.launches import SERVERS, LoopbackClusters, database, outside
from tests.support.control import MINER, VALIDATOR, client_of
from tests.support.serving import serving

CHUTES, EVENTS, BURST = 1000, 20, 10_000
CONFIGURATION = Configuration(
    warm_up=WarmUpConfiguration(enabled=False), placement=PlacementConfiguration(starts_per_server=8)
)


@dataclass
class Figures:
    """What was measured. Times in seconds, memory in MiB."""

    restart: float = 0.0
    decision: list[float] = field(default_factory=list)
    statements_per_decision: float = 0.0
    reconcile: float = 0.0
    event_to_job: list[float] = field(default_factory=list)
    burst: float = 0.0
    failover: float = 0.0
    lag: list[float] = field(default_factory=list)
    memory_mib: float = 0.0


@dataclass
class Jobs:
    """When the clusters were asked for which chute's Job."""

    asked: dict[str, float] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, body: dict[str, object]) -> None:
        labels = body["metadata"]["labels"]  # type: ignore[index]
        self.asked.setdefault(labels["chutes/chute-id"], time.perf_counter())
        self.arrived.set()


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[Gepetto, SimulatedValidator, Jobs, AsyncEngine]]:
    """A Gepetto over a filled database, a SIMULATED validator and clusters over HTTP."""
    folder, jobs = temporary_folder(), Jobs()
    try:
        with EmbeddedPostgres(folder / "data") as postgres:
            async with (
                database(postgres.url(), VALIDATOR.ss58) as engine,
                serving(outside(jobs.note)) as base,
                SimulatedValidator(VALIDATOR.ss58).listening() as validator,
                new_http_client() as http,
            ):
                for number in range(CHUTES):
                    chute_id = validator.state.add_chute(f"simulated-{number}", supported_gpus=("pro_6000",))
                    validator.state.utilization[chute_id] = {"scalable": False}
                port = ValidatorAdapter(client_of(validator, http))
                yield _gepetto(engine, port, LoopbackClusters(base)), validator, jobs, engine
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _gepetto(engine: AsyncEngine, port: ValidatorAdapter, clusters: LoopbackClusters) -> Gepetto:
    world, store, ports = World(MINER.ss58), Store(engine), {port.hotkey: port}
    executor = Executor(
        launcher=Launcher(store, clusters, ports, PodSettings(miner_ss58=MINER.ss58)),
        ender=Ender(store, clusters, ports),
        bucket=TokenBucket(10.0, 20, time.monotonic),
        new_id=lambda: str(uuid.uuid4()),
    )
    gepetto = Gepetto(
        engine=engine,
        world=world,
        readers={port.hotkey: FeedReader(world, port, engine, time.time)},
        clusters=LiveClusters(clusters, time.time),
        intake=EventIntake(world, engine, time.time, lambda: None),
        executor=executor,
        configuration=CONFIGURATION,
        decider=BuiltIn(),
        metrics=Metrics(),
        cadence=Cadence(feeds_seconds=3600, clusters_seconds=3600),
    )
    gepetto.intake.wake = gepetto.dirty.set
    return gepetto


async def measure() -> Figures:
    """All figures of one run, about a minute."""
    found = Figures()
    async with stage() as (gepetto, validator, jobs, engine):
        statements: list[object] = []
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *found: statements.append(found[2]))
        began = time.perf_counter()
        await gepetto.read_rows()
        await gepetto.readers[VALIDATOR.ss58].refresh()
        await gepetto.read_clusters()
        await gepetto.decide_once()
        found.restart = time.perf_counter() - began
        before = len(statements)
        for _ in range(40):
            began = time.perf_counter()
            await gepetto.decide_once()
            found.decision.append(time.perf_counter() - began)
        found.statements_per_decision = (len(statements) - before) / 40
        began = time.perf_counter()
        await gepetto.read_clusters()
        await gepetto.decide_once()
        found.reconcile = time.perf_counter() - began
        await _running(gepetto, validator, jobs, found)
        found.failover = await _failover(engine)
    found.memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


async def _running(gepetto: Gepetto, validator: SimulatedValidator, jobs: Jobs, found: Figures) -> None:
    """Events into the running loop: single ones, then a burst."""
    task, sampler = asyncio.create_task(gepetto.run()), asyncio.create_task(_sample_lag(found.lag))
    try:
        await asyncio.sleep(3)
        chutes = list(validator.state.chutes)
        for chute_id in chutes[:EVENTS]:
            usage = gepetto.world.utilization[chute_id]
            gepetto.world.utilization[chute_id] = usage.model_copy(update={"scalable": True, "scale_allowance": 1})
            began = time.perf_counter()
            await gepetto.intake.apply(_bounty(chute_id, 2.0))
            async with asyncio.timeout(30):
                while chute_id not in jobs.asked:
                    jobs.arrived.clear()
                    await jobs.arrived.wait()
            found.event_to_job.append(jobs.asked[chute_id] - began)
        began = time.perf_counter()
        for number in range(BURST):
            await gepetto.intake.apply(_bounty(chutes[EVENTS + number % (CHUTES - EVENTS)], 1.0 + number % 7))
        await gepetto.decide_once()
        found.burst = time.perf_counter() - began
    finally:
        for one in (task, sampler):
            one.cancel()
        await asyncio.gather(task, sampler, return_exceptions=True)


def _bounty(chute_id: str, multiplier: float) -> Event:
    data = {"chute_id": chute_id, "bounty": 100, "effective_multiplier": multiplier, "validator": VALIDATOR.ss58}
    found = understand(Reason.BOUNTY_CHANGE.value, data)
    assert isinstance(found, Event)
    return found


async def _sample_lag(lag: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.01)
        lag.append(max(0.0, time.perf_counter() - began - 0.01))


async def _failover(engine: AsyncEngine) -> float:
    """Seconds from the leader's end to the standby's beginning."""
    leading = [asyncio.Event(), asyncio.Event()]

    def work(number: int) -> object:
        async def lead() -> None:
            leading[number].set()
            await asyncio.sleep(3600)

        return lead

    tasks = []
    for number in range(2):
        tasks.append(asyncio.create_task(Leadership(engine).lead(work(number))))  # type: ignore[arg-type]
        await (leading[0].wait() if number == 0 else asyncio.sleep(0.5))
    began = time.perf_counter()
    tasks[0].cancel()
    async with asyncio.timeout(30):
        await leading[1].wait()
    seconds = time.perf_counter() - began
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return seconds


def rows(found: Figures) -> list[tuple[str, str, str, str]]:
    """What, measured, aim, and the public program's figure as it follows from its code (not measured)."""

    def worst(values: list[float], percent: float) -> str:
        return f"{1000 * float(np.percentile(values, percent)):.0f} ms"

    return [
        ("restart to first decision", f"{found.restart:.1f} s", "<= 10 s", "at once, and it deletes"),
        ("decision with its database query, p99", worst(found.decision, 99), "-", "minutes"),
        ("statements per decision", f"{found.statements_per_decision:.1f}", "<= 2", "> 2,000 per pass"),
        (f"reconcile of everything, {SERVERS} clusters", f"{found.reconcile:.1f} s", "<= 2 s", "jobs x pods"),
        ("event to Job request, p95", worst(found.event_to_job, 95), "<= 300 ms", "up to minutes"),
        (f"burst of {BURST:,} events", f"{found.burst:.1f} s", "<= 5 s", "one by one"),
        ("event loop lag, p99", worst(found.lag, 99), "<= 20 ms", "up to 60 s"),
        ("failover to the standby", f"{found.failover:.1f} s", "<= 15 s", "none"),
        ("memory, fakes and drivers included", f"{found.memory_mib:.0f} MiB", "<= 300 MiB", "-"),
    ]
