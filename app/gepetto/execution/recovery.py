"""Takes up what the journal shows as begun and nobody works on (spec: gepetto 24.10; rule 27.19).

After a start: what the former process left. Later: endings whose pods had not left, roll-backs whose Job was there yet.
Each entry is a task of its own with an end in time, so that no server waits for another, and no decision for any.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from app.gepetto.execution.ending import Ender
from app.gepetto.execution.faults import Fault, deposed_in, log_fault
from app.gepetto.execution.launch import Launcher
from app.gepetto.execution.opened import OpenEntry
from app.gepetto.kubernetes.plan import job_name, service_name
from app.gepetto.ports import UnavailableError
from app.storage.engine import OUTAGES, is_outage
from app.storage.journal import JournalKind, JournalStep

log = structlog.get_logger(__name__)

#: At so many entries of one server at once.
PER_SERVER: Final = 8
#: On top of the time that pods get to leave.
MARGIN_SECONDS: Final = 120.0
#: An entry that is open for longer than this needs a person.
OVERDUE_SECONDS: Final = 3600.0


@dataclass
class Recovery:
    """The entries of one process's journal.

    Args:
        launcher: whose launches are resumed or rolled back.
        ender: whose endings are gone on with.
        fault: told of errors that should not be.
        overdue: told how many entries are open for more than an hour.
    """

    launcher: Launcher
    ender: Ender
    fault: Fault = log_fault
    overdue: Callable[[int], object] = lambda _: None
    _tasks: dict[str, asyncio.Task[str]] = field(default_factory=dict)
    _slots: defaultdict[str, asyncio.Semaphore] = field(
        default_factory=lambda: defaultdict(lambda: asyncio.Semaphore(PER_SERVER))
    )

    async def once(self) -> dict[str, int]:
        """One pass to its end; how often each outcome was."""
        async with asyncio.TaskGroup() as group:
            tasks = self._start(await self.launcher.store.open_entries(), group)
        return dict(Counter(task.result() for task in tasks))

    async def run(self, seconds: float) -> None:
        """A pass at once and then every so many seconds, without waiting for the entries of the one before."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    entries = await self.launcher.store.open_entries()
                    self.overdue(sum(entry.age_seconds > OVERDUE_SECONDS for entry in entries))
                    self._start(entries, group)
                except OUTAGES as error:
                    log.warning("open entries were not read", reason=type(error).__name__)
                await asyncio.sleep(seconds)

    def _start(self, entries: tuple[OpenEntry, ...], group: asyncio.TaskGroup) -> list[asyncio.Task[str]]:
        tasks = []
        for entry in {entry.deployment_id: entry for entry in entries}.values():
            if entry.deployment_id in self._tasks:
                continue
            task = group.create_task(self._guarded(entry))
            self._tasks[entry.deployment_id] = task
            task.add_done_callback(partial(self._forget, entry.deployment_id))
            tasks.append(task)
        return tasks

    def _forget(self, deployment_id: str, _: asyncio.Task[str]) -> None:
        self._tasks.pop(deployment_id, None)

    async def _guarded(self, entry: OpenEntry) -> str:
        """One deployment; whatever goes wrong concerns no other, and is tried again at the next pass."""
        try:
            async with self._slots[entry.server_id], asyncio.timeout(self.ender.wait_seconds + MARGIN_SECONDS):
                return await self._claimed(entry.deployment_id)
        except TimeoutError:
            log.warning("an open entry waits: its server hangs", deployment=entry.deployment_id, server=entry.server_id)
            return f"{'launch' if entry.kind is JournalKind.LAUNCH else 'ending'} waiting"
        except Exception as error:  # one deployment's fault stops no other; a cancellation passes
            if deposed_in(error):
                raise
            if is_outage(error):
                return "database away"
            self.fault("recovery", error)
            return f"error {type(error).__name__}"

    async def _claimed(self, deployment_id: str) -> str:
        """Work on it if nobody else does, and on what the journal says now: the pass may be old news."""
        store = self.launcher.store
        with store.working.claim(deployment_id) as is_mine:
            entries = await store.open_entries(deployment_id) if is_mine else ()
            outcome = "busy"
            for entry in sorted(entries, key=lambda entry: entry.kind is JournalKind.LAUNCH):  # an ending goes first
                if entry.kind is JournalKind.TERMINATE:
                    return f"ending {(await self.ender.finish(entry)).value}"
                outcome = await self._launch(entry)
        return outcome

    async def _launch(self, entry: OpenEntry) -> str:
        """A launch whose Job exists goes on; without one it is rolled back, because its token died with its process."""
        store, deployment_id = self.launcher.store, entry.deployment_id
        if not entry.has_row and not entry.has_server:
            await store.close(deployment_id, JournalStep.ABANDONED, "its row and its server have gone")
            return "launch abandoned"
        try:
            cluster = await self.launcher.clusters.of(entry.server_id)
            ports = None
            if entry.step is JournalStep.SERVICE:
                ports = await cluster.service_ports(service_name(deployment_id))
            if ports and await cluster.has_job(job_name(deployment_id)):
                port = ports.get(("TCP", 8000), next(iter(ports.values())))
                if await store.launched(deployment_id, entry.host, port):
                    return "launch resumed"
            await store.step(deployment_id, JournalKind.LAUNCH, JournalStep.ROLLING_BACK)
            await cluster.delete_deployment(deployment_id)
            if await cluster.has_pods(deployment_id):
                return "launch waiting"
        except UnavailableError as error:
            log.info("a launch waits for its cluster", deployment=deployment_id, reason=str(error))
            return "launch waiting"
        reason = None if entry.step is JournalStep.ROLLING_BACK else "its process ended"
        await store.remove(deployment_id, JournalStep.ROLLED_BACK, reason)
        if entry.job_id is not None and reason is not None:
            await self.launcher.release(entry.job_id, entry.validator)
        return "launch rolled back"
