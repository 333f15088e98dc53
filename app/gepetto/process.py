"""One composed process: what it holds, and what it does while it leads (spec: gepetto 24.1)."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.compat.runtime import Runtime
from app.gepetto.execution.faults import is_passing
from app.gepetto.execution.fence import Fence
from app.gepetto.execution.validator_migrations import run_until_done
from app.gepetto.files.full import run_full
from app.gepetto.kubernetes.kubeconfigs import Kubeconfigs
from app.gepetto.service import Gepetto
from app.protocol.events import Event
from app.storage.engine import OUTAGES
from app.storage.migrate import migrate
from app.validators.stream import Consumer

log = structlog.get_logger(__name__)

EVENT_GROUP: Final = "gepetto"
RETRY_SECONDS: Final = 1.0
RECOVER_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Process:
    """A composed process."""

    gepetto: Gepetto
    engine: AsyncEngine
    redis: Redis
    kubeconfigs: Kubeconfigs
    facts: Runtime
    fence: Fence
    full_file: Path | None = None
    migrates_validators: bool = True

    async def lead(self) -> None:
        """Everything that only the leader does. A complete public file takes the place of our own loop."""
        await migrate(self.engine)
        await self.fence.take_over()
        await self.kubeconfigs.refresh()
        if self.full_file is not None:
            async with asyncio.TaskGroup() as group:
                recovering = group.create_task(self.gepetto.executor.recovery.run(RECOVER_SECONDS))
                await run_full(self.full_file, self.facts)
                recovering.cancel()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self.gepetto.run())
            group.create_task(self._listen())
            group.create_task(self._refresh_kubeconfigs())
            if self.migrates_validators:
                group.create_task(run_until_done(self.engine, self.gepetto.executor.launcher.validators))

    async def _refresh_kubeconfigs(self) -> None:
        while True:
            await asyncio.sleep(60)
            try:
                await self.kubeconfigs.refresh()
            except OUTAGES as error:
                log.warning("kubeconfigs were not read", reason=type(error).__name__)

    async def _listen(self) -> None:
        """Validator events, acknowledged once they are in the world; an outage of Redis is waited for."""
        consumer = Consumer(self.redis, EVENT_GROUP, str(uuid.uuid4()))
        while True:
            try:
                await consumer.prepare()
                async for delivery in consumer.each():
                    await self._apply(delivery.event)
                    await consumer.acknowledge(delivery)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("events are not received", reason=type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    async def _apply(self, event: Event) -> None:
        """Take an event in. One that cannot be is told and left: the lists say the same within half a minute, and it
        would be delivered again for ever."""
        try:
            await self.gepetto.intake.apply(event)
        except Exception as error:
            if is_passing(error):
                raise
            self.gepetto.metrics.fault("event", error)
