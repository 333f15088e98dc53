"""The agent's states, and the one task that owns everything that runs (spec: agent-monitor 9, 20.3).

Start, stop and boot exclude each other by one lock; whatever reports runs inside one task (`_owner`), so that there is
never a second set of watches or heartbeats. Nothing here knows HTTP.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog

from agent.watch.client import MonitorClient, MonitorError, NotInInventoryError
from agent.watch.coalescing import QueueOverflowError
from agent.watch.parts import (
    AlreadyRunningError,
    ForgottenError,
    LifecycleParts,
    NoMonitorError,
    StartError,
    Status,
)
from agent.watch.session import Collected, ResyncNeededError, Session, collect, collections_of
from agent.watch.spacing import SyncSpacing
from app.protocol.cancellation import run_apart
from app.protocol.kubernetes_reads import ClusterReadError
from app.protocol.monitoring import AgentState
from app.protocol.objects import KubernetesObject

_RETRY_LAST_SECONDS: Final = 300.0
_log = structlog.get_logger(__name__)


class Lifecycle:
    """One agent. `boot` once, then `start` and `stop` at will, `close` at the end."""

    def __init__(self, parts: LifecycleParts) -> None:
        self._parts = parts
        self._lock = asyncio.Lock()
        self._owner: asyncio.Task[None] | None = None
        self._monitor: MonitorClient | None = None
        self._session: Session | None = None
        self._state = AgentState.STOPPED
        self._message: str | None = None
        self._spacing = SyncSpacing(parts.sync_spacing_seconds)

    @property
    def status(self) -> Status:
        """State now; reading it changes nothing. A running session that lost its monitor reads as degraded."""
        session = self._session
        failure = session.status.failure if session is not None else None
        state = AgentState.DEGRADED if self._state is AgentState.RUNNING and failure else self._state
        heartbeat = session.status.last_heartbeat if session is not None else None
        return Status(self._parts.cluster, state, self._message or failure, heartbeat)

    async def boot(self) -> None:
        """Go on with the monitor of the time before, if there was one. Returns at once."""
        async with self._lock:
            url = self._parts.state_file.load()
            if url is not None:
                await self._replace_monitor(url)
                self._set(AgentState.STARTING)
                self._owner = asyncio.create_task(self._own(None))

    async def start(self, url: str) -> None:
        """Report to this monitor from now on.

        Raises:
            AlreadyRunningError: it reports already.
            StartError: the monitor was not reached or refused; the agent goes on trying in the background.
            ForgottenError: the monitor does not know this server.
        """
        async with self._lock:
            if self.status.state is AgentState.RUNNING:
                raise AlreadyRunningError("Monitoring is already running")
            await self._end_owner()
            self._parts.state_file.save(url)
            monitor = await self._replace_monitor(url)
            self._set(AgentState.STARTING)
            try:
                collected = await self._connect(monitor, register=True)
            except NotInInventoryError as error:
                self._forget()
                raise ForgottenError(str(error)) from error
            except (MonitorError, ClusterReadError) as error:
                self._set(AgentState.DEGRADED, f"Not connected to control plane: {error}")
                self._owner = asyncio.create_task(self._own(None, delay_first=True))
                raise StartError(str(error)) from error
            self._set(AgentState.RUNNING)
            self._owner = asyncio.create_task(self._own(collected))

    async def stop(self) -> None:
        """Report no more, tell the monitor, forget it.

        Raises:
            NoMonitorError: there has been no monitor since the agent booted.
            MonitorError: it could not be told; its address is kept, so a restarted agent reports again.
        """
        async with self._lock:
            await self._end_owner()
            self._set(AgentState.STOPPED)
            if self._monitor is None:
                raise NoMonitorError("No active control plane client to stop")
            await self._monitor.unregister()
            self._parts.state_file.clear()

    async def close(self) -> None:
        """End without telling the monitor: the next boot goes on."""
        async with self._lock:
            await self._end_owner()
            if self._monitor is not None:
                await self._monitor.__aexit__(None, None, None)
                self._monitor = None

    async def _replace_monitor(self, url: str) -> MonitorClient:
        if self._monitor is not None:
            await self._monitor.__aexit__(None, None, None)
        self._monitor = self._parts.open_monitor(url)
        return self._monitor

    async def _end_owner(self) -> None:
        if self._owner is not None:
            self._owner.cancel()
            with suppress(asyncio.CancelledError):
                await self._owner
            self._owner = None
        self._session = None

    async def _own(self, collected: Collected | None, *, delay_first: bool = False) -> None:
        """Connect, follow, connect again, until told to end or forgotten."""
        failures = 1 if delay_first else 0
        while True:
            try:
                if collected is None:
                    collected = await self._reconnect(failures)
                failures = 0
                await self._follow(collected)
            except NotInInventoryError as error:
                _log.warning("the monitor does not know this server; stopping", error=str(error))
                self._forget()
                return
            except (MonitorError, ClusterReadError) as error:
                failures += 1
                prefix = (
                    "K8s API unavailable" if isinstance(error, ClusterReadError) else "Not connected to control plane"
                )
                self._set(AgentState.DEGRADED, f"{prefix}: {error}")
            except Exception as error:  # noqa: BLE001 - the edge of the owner task
                # A fault of ours: the pod's liveness probe must see it, and the log its trace.
                _log.exception("monitoring failed")
                self._set(AgentState.ERROR, f"Restart failed: {error!r}")
                return
            collected = None

    async def _reconnect(self, failures: int) -> Collected:
        if failures:
            pause = min(_RETRY_LAST_SECONDS, self._parts.retry_first_seconds * 2.0 ** min(failures - 1, 10))
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreading load
        await asyncio.sleep(self._spacing.wait_seconds(time.monotonic()))
        if self._monitor is None:
            raise RuntimeError("the lifecycle lost its monitor")
        return await self._connect(self._monitor, register=False)

    async def _connect(self, monitor: MonitorClient, *, register: bool) -> Collected:
        """Collect and send everything. A monitor that knows the cluster (409) gets a PUT, never a DELETE."""
        collected = await collect(self._parts.kubernetes, collections_of(self._parts.namespaces))
        self._spacing = self._spacing.sent(time.monotonic())
        self._parts.metrics.snapshots.inc()
        first, second, wrong = (
            (monitor.register, monitor.replace, 409) if register else (monitor.replace, monitor.register, 410)
        )
        await _one_or_other(first, second, wrong, collected.objects)
        return collected

    async def _follow(self, collected: Collected) -> None:
        """Run one session; return when a new one is needed.

        Raises:
            ClusterReadError: the API server was lost.
        """
        parts = self._parts
        if self._monitor is None:
            raise RuntimeError("the lifecycle lost its monitor")
        self._session = Session(
            parts.kubernetes, self._monitor, collected, parts.metrics, parts.now, parts.heartbeat_seconds
        )
        self._set(AgentState.RUNNING)
        lost: list[ClusterReadError] = []
        try:
            await run_apart(self._session.run())
        except* (ResyncNeededError, QueueOverflowError) as group:
            _log.info("a complete list is needed", reason=str(group.exceptions[0]))
        except* ClusterReadError as group:
            lost = [error for error in group.exceptions if isinstance(error, ClusterReadError)]
        finally:
            self._session = None
        if lost:
            raise lost[0]

    def _forget(self) -> None:
        self._parts.state_file.clear()
        self._set(AgentState.STOPPED, "The monitor's inventory does not hold this server.")

    def _set(self, state: AgentState, message: str | None = None) -> None:
        if state is not self._state:
            _log.info("agent state", state=state.value, message=message)
        self._state, self._message = state, message
        for name in AgentState:
            self._parts.metrics.state.labels(name.value).set(1 if name is state else 0)


async def _one_or_other(
    first: Callable[[Sequence[KubernetesObject]], Awaitable[None]],
    second: Callable[[Sequence[KubernetesObject]], Awaitable[None]],
    wrong: int,
    objects: Sequence[KubernetesObject],
) -> None:
    try:
        await first(objects)
    except MonitorError as error:
        if error.status != wrong:
            raise
        await second(objects)
