"""The whole loop at 1,000 GPUs and 1,000 chutes: PostgreSQL for real; validator and clusters are HTTP servers (24.4).

Gepetto has this process for itself: the SIMULATED validator, the clusters and the database run in another (`outside`).
Memory counts everything that the program loads, its web server and migrations included.
"""

from __future__ import annotations

import asyncio
import resource
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import orjson
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

import app.gepetto.compose
import app.gepetto.http  # noqa: F401
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
from app.protocol.signing import Signer
from app.protocol.validators import ValidatorEntry
from app.storage.engine import create_engine
from app.storage.migrate import migrate
from app.validators.client import ValidatorClient
from app.validators.transport import Transport, new_http_client
from tests.bench.gepetto.clusters import LoopbackClusters
from tests.bench.gepetto.outside import CHUTES, SERVERS, Outside, running_outside

MINER = Signer.from_seed("1" * 64)
VALIDATOR = Signer.from_seed("2" * 64).ss58
EVENTS, BURST, STREAM_BATCH, SAMPLE_SECONDS = 20, 10_000, 100, 0.01
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
    busy: list[float] = field(default_factory=list)
    memory_mib: float = 0.0


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[Gepetto, Outside, AsyncEngine]]:
    """A Gepetto over a filled database, a SIMULATED validator and clusters over HTTP."""
    async with running_outside(VALIDATOR) as outside, new_http_client() as http:
        engine, there = create_engine(outside.addresses.database), outside.addresses
        await migrate(engine)  # nothing is left to do; the program looks at every start
        entry = ValidatorEntry(hotkey=there.hotkey, api=there.validator, socket=there.validator)
        port = ValidatorAdapter(ValidatorClient(Transport(entry, MINER, http)))
        clusters = LoopbackClusters(there.clusters)
        try:
            yield _gepetto(engine, port, clusters), outside, engine
        finally:
            await clusters.close()
            await engine.dispose()


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
    async with stage() as (gepetto, outside, engine):
        statements: list[object] = []
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *found: statements.append(found[2]))
        began = time.perf_counter()
        await gepetto.read_rows()
        await gepetto.readers[VALIDATOR].refresh()
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
        await _running(gepetto, outside, found)
        found.failover = await _failover(engine)
    found.memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


async def _running(gepetto: Gepetto, outside: Outside, found: Figures) -> None:
    """Events into the running loop: single ones, then a burst."""
    task, sampler = asyncio.create_task(gepetto.run()), asyncio.create_task(_sample_lag(found))
    try:
        await asyncio.sleep(3)
        chutes = list(gepetto.world.utilization)
        for chute_id in chutes[:EVENTS]:
            usage = gepetto.world.utilization[chute_id]
            gepetto.world.utilization[chute_id] = usage.model_copy(update={"scalable": True, "scale_allowance": 1})
            began = time.perf_counter()
            await gepetto.intake.apply(_bounty(chute_id, 2.0))
            async with asyncio.timeout(30):
                while (job := await outside.next_job()).chute_id != chute_id:
                    pass
            found.event_to_job.append(job.at - began)
        began = time.perf_counter()
        for number in range(BURST):
            await gepetto.intake.apply(_bounty(chutes[EVENTS + number % (CHUTES - EVENTS)], 1.0 + number % 7))
            if number % STREAM_BATCH == 0:
                await asyncio.sleep(0)  # the program waits for its stream after so many
        await gepetto.decide_once()
        found.burst = time.perf_counter() - began
    finally:
        for one in (task, sampler):
            one.cancel()
        await asyncio.gather(task, sampler, return_exceptions=True)


def _bounty(chute_id: str, multiplier: float) -> Event:
    data = {"chute_id": chute_id, "bounty": 100, "effective_multiplier": multiplier, "validator": VALIDATOR}
    found = understand(Reason.BOUNTY_CHANGE.value, data)
    assert isinstance(found, Event)
    return found


async def _sample_lag(found: Figures) -> None:
    """How much later than asked for the loop came back; and how much of that it computed, whatever neighbours do."""
    while True:
        began, computed = time.perf_counter(), time.thread_time()
        await asyncio.sleep(SAMPLE_SECONDS)
        found.lag.append(max(0.0, time.perf_counter() - began - SAMPLE_SECONDS))
        found.busy.append(max(0.0, time.thread_time() - computed - SAMPLE_SECONDS))


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
        ("the same, this process's own computing alone", worst(found.busy, 99), "<= 20 ms", "-"),
        ("failover to the standby", f"{found.failover:.1f} s", "<= 15 s", "none"),
        ("most memory, the drivers of the bench included", f"{found.memory_mib:.0f} MiB", "<= 300 MiB", "-"),
    ]


if __name__ == "__main__":
    print(orjson.dumps(asyncio.run(measure())).decode())
