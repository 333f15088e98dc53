"""Runs intents: every server's in order, servers side by side, each key once at a time (spec: gepetto 24.1, 24.10)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from app.gepetto.decision.intents import (
    DrainServer,
    Evidence,
    ForgetInstance,
    Intent,
    Launch,
    RemoveOrphan,
    Swap,
    Terminate,
)
from app.gepetto.execution.ending import Ender, EndingResult
from app.gepetto.execution.launch import Launcher, LaunchOrder, LaunchOutcome, LaunchResult, job_ports_of
from app.gepetto.execution.limits import ServerLocks, TokenBucket
from app.gepetto.kubernetes.plan import job_name, service_name
from app.gepetto.ports import LaunchRefusal, UnavailableError
from app.gepetto.world.snapshot import Snapshot
from app.storage.engine import OUTAGES
from app.storage.journal import JournalKind, JournalStep

log = structlog.get_logger(__name__)

Handler = Callable[[Intent, Snapshot], Awaitable[str]]


def _quiet(intent: Intent, result: str) -> None:
    log.debug("intent done", intent=intent.key, result=result)


@dataclass
class Executor:
    """Takes intents that the gate let through. `run` owns the tasks; `submit` never waits.

    Args:
        launcher: carries out launches.
        ender: carries out endings.
        bucket: limits requests for launch configs.
        new_id: makes deployment ids.
        handlers: what to do with the other intents, by class name.
        report: told how every intent ended.
    """

    launcher: Launcher
    ender: Ender
    bucket: TokenBucket
    new_id: Callable[[], str]
    handlers: Mapping[str, Handler] = field(default_factory=dict)
    report: Callable[[Intent, str], None] = _quiet
    parallel: int = 32
    job_ports: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    in_flight: dict[str, Intent] = field(default_factory=dict)
    _locks: ServerLocks = field(default_factory=ServerLocks)
    _queue: asyncio.Queue[tuple[Intent, Snapshot]] = field(default_factory=asyncio.Queue)

    def submit(self, intents: tuple[Intent, ...], snapshot: Snapshot) -> int:
        """Queue intents whose key is not under way; returns how many were new."""
        count = 0
        for intent in intents:
            if intent.key not in self.in_flight:
                self.in_flight[intent.key] = intent
                self._queue.put_nowait((intent, snapshot))
                count += 1
        return count

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.parallel):
                group.create_task(self._work())

    async def drained(self) -> None:
        """Wait until everything submitted so far is done."""
        await self._queue.join()

    async def _work(self) -> None:
        while True:
            intent, snapshot = await self._queue.get()
            try:
                result = await self._do(intent, snapshot)
            except OUTAGES as error:  # the journal shows what is open; nothing is lost but time
                result = f"database away: {type(error).__name__}"
                log.warning("an intent was interrupted", intent=intent.key, reason=result)
            finally:
                self.in_flight.pop(intent.key, None)
                self._queue.task_done()
            self.report(intent, result)

    async def _do(self, intent: Intent, snapshot: Snapshot) -> str:
        match intent:
            case Launch():
                async with self._locks.of(intent.server_id):
                    return (await self._launch(intent, snapshot)).result.value
            case Terminate():
                return (await self._terminate(intent, snapshot)).value
            case Swap():
                return await self._swap(intent, snapshot)
            case RemoveOrphan():
                return (await self.ender.remove_orphan(intent)).value
            case ForgetInstance():
                configs = {instance.id: instance.config_id for instance in snapshot.instances}
                return (await self.ender.forget_instance(intent, configs.get(intent.instance_id))).value
            case DrainServer():
                return await self._drain(intent, snapshot)
            case _:
                handler = self.handlers.get(type(intent).__name__)
                return "ignored" if handler is None else await handler(intent, snapshot)

    def _order(self, intent: Launch, snapshot: Snapshot) -> LaunchOrder:
        server = next(server for server in snapshot.servers if server.id == intent.server_id)
        gpu_ids = tuple(gpu for bit, gpu in enumerate(server.gpu_ids) if intent.gpu_mask >> bit & 1)
        ports = job_ports_of(self.job_ports.get(intent.chute_id, ())) if intent.job_id else ()
        return LaunchOrder(intent, self.new_id(), gpu_ids, server.vm_version, ports)

    async def _launch(self, intent: Launch, snapshot: Snapshot) -> LaunchOutcome:
        await self.bucket.take()
        return await self.launcher.launch(self._order(intent, snapshot))

    async def _terminate(self, intent: Terminate, snapshot: Snapshot) -> EndingResult:
        row = next((row for row in snapshot.deployments if row.id == intent.deployment_id), None)
        if row is None:
            return EndingResult.ALREADY
        return await self.ender.end(row, intent)

    async def _swap(self, intent: Swap, snapshot: Snapshot) -> str:
        """Token first, then every victim checked, then the victims, then the launch: all of it or nothing."""
        async with self._locks.of(intent.launch.server_id):  # nobody else gets the GPUs in between
            return await self._swap_locked(intent, snapshot)

    async def _swap_locked(self, intent: Swap, snapshot: Snapshot) -> str:
        rows = tuple(row for row in snapshot.deployments if row.id in intent.victims)
        launch = intent.launch
        validator = next((s.validator for s in snapshot.servers if s.id == launch.server_id), "")
        await self.bucket.take()
        if len(rows) != len(intent.victims) or not await self.ender.check_victims(rows):
            return EndingResult.VETOED.value
        answer = await self.launcher.ask(launch.chute_id, validator, launch.job_id)
        if isinstance(answer, LaunchRefusal):
            await self.launcher.remember_refusal(launch.chute_id, answer)
            return LaunchResult.REFUSED.value
        reason = Terminate("", Evidence.PREEMPTED, f"for {launch.chute_id}")
        endings = [self.ender.end(row, Terminate(row.id, reason.evidence, reason.reason)) for row in rows]
        results = await asyncio.gather(*endings)
        if any(result is not EndingResult.DONE for result in results):
            return "victims_" + "_".join(sorted({result.value for result in results}))
        return (await self.launcher.launch(self._order(launch, snapshot), answer)).result.value

    async def _drain(self, intent: DrainServer, snapshot: Snapshot) -> str:
        """End every copy on a server that the operator takes out; the handler then forgets the server itself."""
        rows = [row for row in snapshot.deployments if row.server_id == intent.server_id]
        endings = (self.ender.end(row, Terminate(row.id, Evidence.OPERATOR, "its server is taken out")) for row in rows)
        results = await asyncio.gather(*endings)
        if any(result not in {EndingResult.DONE, EndingResult.ALREADY} for result in results):
            return EndingResult.WAITING.value
        handler = self.handlers.get(type(intent).__name__)
        return "ignored" if handler is None else await handler(intent, snapshot)

    async def recover(self) -> dict[str, int]:
        """Resume or roll back what a former process left open (rule 27.19). Call it before the first decision."""
        counts: dict[str, int] = {}
        for entry in await self.launcher.store.open_entries():
            if entry.kind is JournalKind.TERMINATE:
                evidence = Evidence(entry.evidence) if entry.evidence else None
                result = await self.ender.finish(
                    entry.deployment_id, entry.server_id, entry.chute_id, entry.instance_id, entry.validator, evidence
                )
                outcome = f"ending {result.value}"
            else:
                outcome = await self._recover_launch(entry.deployment_id, entry.server_id, entry.host, entry.step)
            counts[outcome] = counts.get(outcome, 0) + 1
        return counts

    async def resume_endings(self, busy: set[str]) -> None:
        """Go on with endings that wait for their pods to leave, apart from those under way."""
        for entry in await self.launcher.store.open_entries():
            if entry.kind is JournalKind.TERMINATE and entry.deployment_id not in busy:
                evidence = Evidence(entry.evidence) if entry.evidence else None
                await self.ender.finish(
                    entry.deployment_id, entry.server_id, entry.chute_id, entry.instance_id, entry.validator, evidence
                )

    async def _recover_launch(self, deployment_id: str, server_id: str, host: str | None, step: JournalStep) -> str:
        """A launch whose Job exists goes on; without one it is rolled back, because its token died with its process."""
        store = self.launcher.store
        try:
            cluster = await self.launcher.clusters.of(server_id)
            name = service_name(deployment_id)
            ports = await cluster.service_ports(name) if step is JournalStep.SERVICE else None
            if ports and await cluster.has_job(job_name(deployment_id)):
                await store.launched(deployment_id, host, ports.get(("TCP", 8000), next(iter(ports.values()))))
                return "launch resumed"
            await cluster.delete_deployment(deployment_id)
            if await cluster.has_pods(deployment_id):
                return "launch waiting"
        except UnavailableError:
            return "launch waiting"
        await store.remove(deployment_id, JournalStep.ROLLED_BACK, "its process ended")
        return "launch rolled back"
