"""Validator events: each marks part of the world and wakes the decision; none ends anything (spec: gepetto 24.9)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.gepetto.ingest.chute_views import Bounty
from app.gepetto.ingest.world import World
from app.gepetto.world.views import JobView, OrderKind
from app.protocol import events
from app.protocol.events import Event, Reason
from app.storage import chutes, deployments, servers

#: Events that a feed's repair may infer from an absence, and that would end something here.
NOT_BELIEVED = frozenset({Reason.INSTANCE_DELETED, Reason.CHUTE_DELETED, Reason.JOB_DELETED})


@dataclass
class EventIntake:
    """Applies events to the world. `refetch` collects (validator, chute, version) definitions to fetch, coalesced."""

    world: World
    engine: AsyncEngine
    clock: Callable[[], float]
    wake: Callable[[], None]
    refetch: set[tuple[str, str, str]] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)

    async def apply(self, event: Event) -> None:
        """One event; duplicates and events out of order change nothing for the worse."""
        self.counts[event.reason.value] = self.counts.get(event.reason.value, 0) + 1
        if not self._is_for_us(event):
            return
        data = event.data
        now = self.clock()
        match data:
            case events.InstanceEvent():
                await self._instance(event.reason, data, now)
            case events.RollingUpdateEvent():
                self.world.order(OrderKind.ROLLING_UPDATE, data.instance_id, now, "event")
                self._fetch(data.validator, data.chute_id, data.new_version)
            case events.JobCreated():
                self._job(data, now)
            case events.JobDeleted():
                self.world.jobs.pop(data.job_id, None)
                self.world.order(OrderKind.JOB_ENDED, data.job_id, now, "event")
            case events.BountyChange():
                self.world.bounties[data.chute_id] = Bounty(data.effective_multiplier, data.bounty_boost, now)
            case events.ChuteEvent():
                if event.reason is Reason.CHUTE_DELETED:
                    self.world.chutes.pop(data.chute_id, None)
                else:
                    self._fetch(data.validator, data.chute_id, data.version)
            case events.ServerDeleted():
                self.world.order(OrderKind.SERVER_DELETED, data.server_id, now, "event")
            case events.GpuVerified() | events.ImageUpdated():
                await self._write(data)
        self.wake()

    def _is_for_us(self, event: Event) -> bool:
        owner = getattr(event.data, "miner_hotkey", None)
        if owner is not None and owner != self.world.hotkey:
            return False  # another miner's; the list of active instances tells what matters of it
        # What was drawn from an absence in a list: our own reconciliation asks the live source first.
        return not (event.raw.get("reconciled") and event.reason in NOT_BELIEVED)

    def _fetch(self, validator: str | None, chute_id: str, version: str) -> None:
        if validator is not None:
            self.refetch.add((validator, chute_id, version))

    def _job(self, data: events.JobCreated, now: float) -> None:
        known = self.world.chutes.get(data.chute_id)
        gpus = data.gpu_count or (known[1].gpu_count if known else 1)
        excluded = frozenset(data.exclude)
        self.world.jobs[data.job_id] = JobView(
            data.job_id, data.chute_id, gpus, data.compute_multiplier or 1.0, now, data.disk_gb, excluded
        )

    async def _instance(self, reason: Reason, data: events.InstanceEvent, now: float) -> None:
        if reason is Reason.INSTANCE_DELETED:
            self.world.order(OrderKind.INSTANCE_DELETED, data.instance_id, now, "event")
            return
        at = datetime.fromtimestamp(now, UTC)
        async with AsyncSession(self.engine) as session, session.begin():
            if data.config_id is not None:
                await deployments.set_instance(session, data.config_id, data.instance_id)
            if reason is Reason.INSTANCE_VERIFIED:
                await deployments.set_verified(session, data.instance_id, at)
            if reason is Reason.INSTANCE_ACTIVATED and data.config_id is not None:
                await deployments.set_activated(session, data.config_id, at)

    async def _write(self, data: events.EventData) -> None:
        async with AsyncSession(self.engine) as session, session.begin():
            if isinstance(data, events.GpuVerified):
                await servers.set_gpu_verified(session, data.gpu_id)
            elif isinstance(data, events.ImageUpdated):
                images = dict.fromkeys(data.chute_ids, (data.image, data.chutes_version))
                await chutes.set_images(session, images)
