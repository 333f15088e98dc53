"""Runs intents: every server's in order, servers side by side, each key once at a time (spec: gepetto 24.1, 24.10).

A fault of one intent is written down, counted and left alone for a while; it never ends the work on the others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

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
from app.gepetto.execution.faults import Fault, deposed_in, is_passing, leaves, log_fault
from app.gepetto.execution.launch import FAILURE_SECONDS, Launcher, LaunchOrder, LaunchResult, job_ports_of
from app.gepetto.execution.limits import Pauses, ServerLocks, TokenBucket
from app.gepetto.execution.orphans import Orphans
from app.gepetto.execution.recovery import Recovery
from app.gepetto.ports import LaunchRefusal
from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import DeploymentView, NodeState

log = structlog.get_logger(__name__)

Handler = Callable[[Intent, Snapshot], Awaitable[str]]

#: How long a key is left alone after a fault: the first time, and at most.
FAULT_SECONDS: Final = (30.0, 1800.0)
#: How long after a live source said otherwise, or did not answer: asking again at once would use up the budget.
PAUSES: Final[Mapping[str, float]] = {
    EndingResult.UNFOUNDED.value: 300.0,
    EndingResult.KEPT.value: 300.0,
    EndingResult.VETOED.value: 15.0,
}
GONE: Final = "gone"


def _pause_keys(intent: Intent) -> tuple[str, ...]:
    """The key that faults pause, and the one that results pause; the same where an intent names no evidence."""
    if isinstance(intent, Terminate | RemoveOrphan | ForgetInstance):
        return intent.key, f"{intent.key}:{intent.evidence}"
    return (intent.key,)


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
        fault: told of errors that should not be.
    """

    launcher: Launcher
    ender: Ender
    bucket: TokenBucket
    new_id: Callable[[], str]
    handlers: Mapping[str, Handler] = field(default_factory=dict)
    report: Callable[[Intent, str], None] = _quiet
    fault: Fault = log_fault
    parallel: int = 32
    job_ports: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    in_flight: dict[str, Intent] = field(default_factory=dict)
    pauses: Pauses = field(default_factory=lambda: Pauses(time.monotonic))
    recovery: Recovery = field(init=False)
    orphans: Orphans = field(init=False)
    _locks: ServerLocks = field(default_factory=ServerLocks)
    _queue: asyncio.Queue[tuple[Intent, Snapshot]] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        self.recovery = Recovery(self.launcher, self.ender, self._fault)
        self.orphans = Orphans(self.launcher.store, self.ender.clusters, self.ender.validators)

    def _fault(self, work: str, error: BaseException) -> None:
        self.fault(work, error)

    def is_open_to(self, intent: Intent) -> bool:
        """Whether an intent would be taken up: its key is not under way, and not left alone for a while.

        What a live source or a validator's no has put off is put off for that evidence alone.
        """
        return intent.key not in self.in_flight and all(self.pauses.is_over(key) for key in _pause_keys(intent))

    def submit(self, intents: tuple[Intent, ...], snapshot: Snapshot) -> int:
        """Queue intents that are open to be taken up; returns how many were."""
        count = 0
        for intent in intents:
            if self.is_open_to(intent):
                self.in_flight[intent.key] = intent
                self._queue.put_nowait((intent, snapshot))
                count += 1
        return count

    async def run(self) -> None:
        """Work until cancelled, or until another process leads."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.parallel):
                group.create_task(self._work())

    async def drained(self) -> None:
        """Wait until everything submitted so far is done."""
        await self._queue.join()

    async def recover(self) -> dict[str, int]:
        """Resume or roll back what is open in the journal, in one pass (rule 27.19)."""
        return await self.recovery.once()

    async def _work(self) -> None:
        while True:
            intent, snapshot = await self._queue.get()
            try:
                result = await self._isolated(intent, snapshot)
            finally:
                self.in_flight.pop(intent.key, None)
                self._queue.task_done()
            try:
                self.report(intent, result)
            except Exception as error:  # noqa: BLE001 - whoever is told must not stop the work
                self.fault("report", error)

    async def _isolated(self, intent: Intent, snapshot: Snapshot) -> str:
        """Carry an intent out. The journal shows what an error left open, and the recovery takes it up."""
        try:
            result = await self._do(intent, snapshot)
        except Exception as error:  # one intent's fault stops no other; a cancellation passes
            if deposed_in(error):
                raise
            name = "+".join(sorted({type(leaf).__name__ for leaf in leaves(error)}))
            if is_passing(error):
                log.warning("an intent was interrupted", intent=intent.key, reason=name)
                return f"database away: {name}"
            await self._back_off(intent, name, error)
            return f"error: {name}"
        self.pauses.well(intent.key)
        if result in PAUSES:
            self.pauses.pause(_pause_keys(intent)[-1], PAUSES[result])
        return result

    async def _back_off(self, intent: Intent, name: str, error: Exception) -> None:
        self.fault(type(intent).__name__, error)
        log.error("an intent failed", intent=intent.key, error=name)
        self.pauses.fault(intent.key, *FAULT_SECONDS)
        launch = intent.launch if isinstance(intent, Swap) else intent
        if not isinstance(launch, Launch):
            return
        try:
            reason = f"fault of our own: {name}"
            await self.launcher.store.remember_failure(launch.chute_id, launch.server_id, reason, FAILURE_SECONDS)
        except Exception as second:  # the pause of its key holds it back all the same
            if deposed_in(second):
                raise
            self.fault("failure memory", second)

    async def _do(self, intent: Intent, snapshot: Snapshot) -> str:
        match intent:
            case Launch():
                async with self._locks.of(intent.server_id):
                    return await self._launch(intent, snapshot)
            case Terminate():
                return (await self._terminate(intent, snapshot)).value
            case Swap():
                async with self._locks.of(intent.launch.server_id):  # nobody else gets the GPUs in between
                    return await self._swap(intent, snapshot)
            case RemoveOrphan():
                return (await self.orphans.remove_objects(intent)).value
            case ForgetInstance():
                instance = next((item for item in snapshot.instances if item.id == intent.instance_id), None)
                return (await self.orphans.forget_instance(intent, instance)).value
            case DrainServer():
                return await self._drain(intent, snapshot)
            case _:
                handler = self.handlers.get(type(intent).__name__)
                return "ignored" if handler is None else await handler(intent, snapshot)

    def _order(self, intent: Launch, snapshot: Snapshot) -> LaunchOrder | None:
        """What the snapshot knows of a launch; None where it does not know the server."""
        server = next((server for server in snapshot.servers if server.id == intent.server_id), None)
        if server is None:
            return None
        gpu_ids = tuple(gpu for bit, gpu in enumerate(server.gpu_ids) if intent.gpu_mask >> bit & 1)
        ports = job_ports_of(self.job_ports.get(intent.chute_id, ())) if intent.job_id else ()
        return LaunchOrder(intent, self.new_id(), gpu_ids, server.vm_version, ports)

    async def _launch(self, intent: Launch, snapshot: Snapshot) -> str:
        await self.bucket.take()
        order = self._order(intent, snapshot)
        return GONE if order is None else (await self.launcher.launch(order)).result.value

    async def _terminate(self, intent: Terminate, snapshot: Snapshot) -> EndingResult:
        row = next((row for row in snapshot.deployments if row.id == intent.deployment_id), None)
        if row is None:
            return EndingResult.ALREADY
        if intent.evidence is Evidence.NODE_DRAINED and not await self._is_draining(row.server_id, snapshot):
            return EndingResult.VETOED
        return await self.ender.end(row, intent)

    async def _is_draining(self, server_id: str, snapshot: Snapshot) -> bool:
        """Whether a live look shows the node being emptied still: it may be open again since the reading."""
        names = [server.name for server in snapshot.servers if server.id == server_id]
        return bool(names) and await self.launcher.node_state(server_id, names[0]) is NodeState.DRAINING

    async def _swap(self, intent: Swap, snapshot: Snapshot) -> str:
        """Everything checked, then the token, then the victims, then the launch: all of it or nothing."""
        rows = tuple(row for row in snapshot.deployments if row.id in intent.victims)
        order = self._order(intent.launch, snapshot)
        if order is None or len(rows) != len(intent.victims) or not await self._may_swap(order, rows):
            return EndingResult.VETOED.value
        launch = intent.launch
        server = next(server for server in snapshot.servers if server.id == launch.server_id)
        if await self.launcher.node_state(server.id, server.name) is not NodeState.OPEN:
            return LaunchResult.CLOSED.value
        await self.bucket.take()
        answer = await self.launcher.ask(launch, server.validator)
        if isinstance(answer, LaunchRefusal):
            await self.launcher.remember_refusal(launch.chute_id, answer)
            return LaunchResult.REFUSED.value
        is_used = False
        try:
            results = await self._end_all(rows, Evidence.PREEMPTED, f"for {launch.chute_id}")
            if all(result.is_done for result in results):
                is_used = True
                return (await self.launcher.launch(order, answer)).result.value
        finally:
            if not is_used:
                self.launcher.spares.keep(launch, answer)
        return "victims_" + "_".join(sorted({result.value for result in results}))

    async def _may_swap(self, order: LaunchOrder, rows: tuple[DeploymentView, ...]) -> bool:
        victims = [row.id for row in rows]
        held = await self.launcher.store.can_have(order.intent.server_id, order.gpu_ids, victims)
        return held and await self.ender.check_victims(rows)

    async def _end_all(self, rows: tuple[DeploymentView, ...], evidence: Evidence, reason: str) -> list[EndingResult]:
        """End copies side by side. Where one has a fault the recovery goes on with the others, from the journal."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.ender.end(row, Terminate(row.id, evidence, reason))) for row in rows]
        return [task.result() for task in tasks]

    async def _drain(self, intent: DrainServer, snapshot: Snapshot) -> str:
        """End every copy on a server that the operator takes out; the handler then forgets the server itself.

        Not before its last row has gone: that of a copy which is still leaving, or was launched since, keeps its GPUs.
        """
        rows = tuple(row for row in snapshot.deployments if row.server_id == intent.server_id)
        results = await self._end_all(rows, Evidence.OPERATOR, "its server is taken out")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (0.0 if EndingResult.VETOED in results else self.ender.wait_seconds)
        while await self.launcher.store.has_rows(intent.server_id):
            if loop.time() >= deadline:
                return EndingResult.WAITING.value
            await asyncio.sleep(self.ender.poll_seconds)
        handler = self.handlers.get(type(intent).__name__)
        return "ignored" if handler is None else await handler(intent, snapshot)
