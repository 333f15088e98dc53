"""The running Gepetto: ingest, decide, gate, execute, under one leadership (spec: gepetto 24.1)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.gepetto.configured import ConfigurationFile
from app.gepetto.deciders import Decider
from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.gate import Refusal, Spent, pass_gate
from app.gepetto.decision.intents import DrainServer, Intent, Launch, NoOp, Swap, WarmUp
from app.gepetto.execution.executor import Executor
from app.gepetto.execution.faults import deposed_in
from app.gepetto.execution.launch import LaunchResult
from app.gepetto.execution.records import Decision, DecisionJournal, record_instance, remove_server
from app.gepetto.ingest.clusters import ClusterFeed
from app.gepetto.ingest.events import EventIntake
from app.gepetto.ingest.feeds import FeedReader
from app.gepetto.ingest.rows import read_rows
from app.gepetto.ingest.world import World
from app.gepetto.metrics import Metrics
from app.gepetto.ports import UnavailableError
from app.gepetto.why import Weighed
from app.gepetto.world.snapshot import Snapshot, SourceName
from app.gepetto.world.views import ServerView, Source
from app.storage import intents as requests
from app.storage.engine import OUTAGES

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Cadence:
    """Seconds between polls and decisions."""

    decide_seconds: float = 5.0
    debounce_seconds: float = 0.1
    feeds_seconds: float = 30.0
    clusters_seconds: float = 5.0
    recover_seconds: float = 30.0
    prune_seconds: float = 6 * 3600.0
    feeds_retry_seconds: float = 3.0
    publish_seconds: float = 15.0

    def feeds_pause_seconds(self, errors: int) -> float:
        """Until the lists are read again, after so many failed readings in a row: soon first, then as always."""
        if errors == 0:
            return self.feeds_seconds
        return min(self.feeds_seconds, self.feeds_retry_seconds * 2.0 ** min(errors - 1, 16))


@dataclass
class Gepetto:
    """Everything of one process. `run` acts until cancelled; call it under `Leadership.lead`."""

    engine: AsyncEngine
    world: World
    readers: Mapping[str, FeedReader]
    clusters: ClusterFeed
    intake: EventIntake
    executor: Executor
    configuration: Configuration
    decider: Decider
    metrics: Metrics
    clock: Callable[[], float] = time.time
    cadence: Cadence = Cadence()
    publish: Callable[[Weighed], Awaitable[object]] | None = None
    #: Has validators forget a server; False where its own one gave no answer.
    forget_server: Callable[[ServerView], Awaitable[bool]] | None = None
    configured: ConfigurationFile | None = None
    spent: Spent = field(default_factory=Spent)
    last_snapshot: Snapshot | None = None
    last_intents: tuple[Intent, ...] = ()
    last_refused: tuple[Refusal, ...] = ()
    dirty: asyncio.Event = field(default_factory=asyncio.Event)
    journal: DecisionJournal = field(init=False)

    def __post_init__(self) -> None:
        self.executor.report = self._ended
        self.executor.fault = self.metrics.fault
        self.executor.recovery.overdue = self.metrics.overdue.set
        self.executor.handlers = {
            "RecordInstance": partial(record_instance, self.engine),
            "DrainServer": self._forget,
            "WarmUp": self._warm_up,
        }
        self.journal = DecisionJournal(self.engine)

    async def run(self) -> None:
        """Act; what was left open is taken up beside the first decisions, because its rows keep their GPUs anyway."""
        self.metrics.leader.set(1)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.executor.run())
                group.create_task(self._every(self.cadence.clusters_seconds, self.read_clusters))
                group.create_task(self.executor.recovery.run(self.cadence.recover_seconds))
                group.create_task(self._every(self.cadence.prune_seconds, self.executor.launcher.store.prune))
                group.create_task(self._every(self.cadence.publish_seconds, self.publish_reasons))
                group.create_task(self._watch_lag())
                for reader in self.readers.values():
                    group.create_task(self._follow(reader))
                group.create_task(self._decide_forever())
        finally:
            self.metrics.leader.set(0)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except (*OUTAGES, UnavailableError) as error:
                log.warning("will try again", work=getattr(work, "__name__", ""), reason=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - one loop's fault stops no other; a cancellation passes
                self._fault(getattr(work, "__name__", ""), error)
            await asyncio.sleep(seconds)

    async def _follow(self, reader: FeedReader) -> None:
        while True:
            try:
                await reader.refresh()
            except (*OUTAGES, UnavailableError) as error:
                log.warning("will try again", work="feeds", reason=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - one validator's fault stops no other; a cancellation passes
                self._fault("feeds", error)
            self.dirty.set()
            errors = max(self.world.sources.get(name, Source()).errors for name in reader.lists)
            await asyncio.sleep(self.cadence.feeds_pause_seconds(errors))

    async def read_clusters(self) -> None:
        """One reading of every cluster into the world."""
        names = {row.name: row.server_id for row in self.world.rows.servers}
        try:
            self.world.take_clusters(await self.clusters.read(names, self.clock()), self.clock())
        except UnavailableError as error:
            log.warning("the clusters cannot be read", reason=str(error))

    async def publish_reasons(self) -> None:
        """What the last decision weighed, for whoever asks why something does not earn."""
        if self.publish is not None and self.last_snapshot is not None:
            refused, name = self.last_refused, self.decider.name
            await self.publish(Weighed(self.last_snapshot, self.configuration, name, self.last_intents, refused))

    def _fault(self, work: str, error: Exception) -> None:
        """Count and write down; the end of our leadership is no fault, and ends all work.

        Raises:
            Exception: the error itself, where another process leads.
        """
        if deposed_in(error):
            raise error
        self.metrics.fault(work, error)

    async def _watch_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.5)
            self.metrics.loop_lag.observe(max(0.0, loop.time() - before - 0.5))

    async def _decide_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self.cadence.decide_seconds):
                    await self.dirty.wait()
            except TimeoutError:
                pass  # nothing happened: decide anyway, because time alone opens and closes things
            await asyncio.sleep(self.cadence.debounce_seconds)
            self.dirty.clear()
            try:
                await self.decide_once()
            except OUTAGES as error:
                log.warning("no decision without the database", reason=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - what is under way goes on; /ready says that no decision was made
                self._fault("decision", error)

    async def decide_once(self) -> tuple[Intent, ...]:
        """Fetch, read our rows, decide, pass the gate, hand over; returns what was let through."""
        if self.configured is not None:
            self.configuration = await self.configured.latest(self.configuration)
        await self._fetch_definitions()
        await self.read_rows()
        await self._finish_requests()
        await asyncio.sleep(0)  # whoever waits on the loop gets it between the parts that compute
        snapshot = self.world.snapshot(self.clock(), self.executor.in_flight.values())
        await asyncio.sleep(0)  # the snapshot is frozen: what waits on the loop need not wait for the decision too
        began = time.perf_counter()
        decided = await self.decider.decide(snapshot, self.configuration)
        # What is under way or left alone would use up the gate's budget without being done.
        wanted = tuple(intent for intent in decided if self.executor.is_open_to(intent))
        allowed, refused, self.spent = pass_gate(snapshot, wanted, self.configuration, self.spent)
        seconds = time.perf_counter() - began
        self.last_snapshot, self.last_intents, self.last_refused = snapshot, allowed, refused
        self.metrics.decided(seconds, allowed, refused)
        self.executor.job_ports = self._job_ports()
        self.executor.submit(tuple(intent for intent in allowed if not isinstance(intent, NoOp)), snapshot)
        for refusal in refused:
            if refusal.alert:
                log.error("held back by the safety gate", intent=refusal.intent.key, reason=refusal.reason)
        await asyncio.sleep(0)
        self.metrics.saw(snapshot)
        await asyncio.sleep(0)  # nor need it wait for the fingerprint that the journal takes of a thousand chutes
        await self.journal.keep(Decision(snapshot, self.decider.name, allowed, refused, seconds))
        return allowed

    async def read_rows(self) -> None:
        """Our rows, in one query."""
        now = self.clock()
        try:
            self.world.rows = await read_rows(self.engine)
        except OUTAGES:
            self.world.note(SourceName.DATABASE, now, complete=False)
            raise
        self.world.note(SourceName.DATABASE, now, complete=True)

    async def _finish_requests(self) -> None:
        """An operator's request to end a copy is done once its row has gone."""
        known = {row.deployment_id for row in self.world.rows.deployments}
        done = [item.id for item in self.world.rows.requests if item.kind == "undeploy" and item.subject not in known]
        if done:
            async with AsyncSession(self.engine) as session, session.begin():
                for request in done:
                    await requests.finish(session, request)

    async def _fetch_definitions(self) -> None:
        pending, self.intake.refetch = self.intake.refetch, set()
        for validator, chute_id, version in sorted(pending):
            reader = self.readers.get(validator)
            if reader is not None:
                await reader.fetch(chute_id, version)

    def _job_ports(self) -> dict[str, tuple[tuple[str, int], ...]]:
        wanted = {job.chute_id for job in self.world.jobs.values()}
        return {
            chute_id: tuple((port.proto, port.port) for job in record.jobs or () for port in job.ports)
            for chute_id, (_, record) in self.world.chutes.items()
            if chute_id in wanted
        }

    def _ended(self, intent: Intent, result: str) -> None:
        self.metrics.ended(intent, result)
        if result == LaunchResult.CLOSED.value and isinstance(intent, Launch | Swap):
            self.world.close(intent.launch.server_id if isinstance(intent, Swap) else intent.server_id)
        if result not in {"ignored", "recorded"}:
            log.info("intent", key=intent.key, result=result)
        self.dirty.set()

    async def _warm_up(self, intent: Intent, snapshot: Snapshot) -> str:  # noqa: ARG002 - a handler's signature
        if not isinstance(intent, WarmUp) or not await self.executor.launcher.warm_up(intent):
            return "not_pulled"
        self.world.warmed.add((intent.server_id, intent.chute_id))
        return "pulled"

    async def _forget(self, intent: Intent, snapshot: Snapshot) -> str:
        if not isinstance(intent, DrainServer):
            return "ignored"
        server = next((item for item in snapshot.servers if item.id == intent.server_id), None)
        if server is not None and self.forget_server is not None and not await self.forget_server(server):
            return "waits_for_its_validator"  # the row holds what is to be forgotten, and the request stays open
        await remove_server(self.engine, intent.server_id, snapshot)
        self.world.orders.pop(f"server_deleted:{intent.server_id}", None)
        return "forgotten"
