"""Everything that the leader keeps open towards its validators: one feed each, the intake, reconciles, facts.

One process runs this at a time; `app.api.leader` sees to that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import random
from typing import Final

import httpx
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.protocol.events import Event
from app.protocol.signing import Signer
from app.protocol.validators import ValidatorEntry
from app.storage.engine import OUTAGES, is_refusal
from app.validators import facts
from app.validators.client import ValidatorClient
from app.validators.feed import Feed, Waits
from app.validators.intake import Intake
from app.validators.reconcile import Confirmation, missed_events
from app.validators.remote import RemoteView, refresh
from app.validators.stream import Consumer
from app.validators.transport import Transport

RECONCILE_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 2.0
CONFIRM_SECONDS: Final = 5.0
REPEAT_SECONDS: Final = 300.0
FACTS_GROUP: Final = "facts"
_RECONCILED_PARTS: Final = ("chutes", "instances")

log = structlog.get_logger(__name__)


class ValidatorLink:
    """Feeds, intake and reconciles of all validators; `run` until cancelled."""

    def __init__(
        self,
        entries: Sequence[ValidatorEntry],
        signer: Signer,
        *,
        http: httpx.AsyncClient,
        redis: Redis,
        engine: AsyncEngine,
        clock: Callable[[], float] = time.time,
        waits: Waits | None = None,
        reconcile_seconds: float = RECONCILE_SECONDS,
    ) -> None:
        self._signer = signer
        self._redis = redis
        self._engine = engine
        self._clock = clock
        self._reconcile_seconds = reconcile_seconds
        self.clients = {entry.hotkey: ValidatorClient(Transport(entry, signer, http, clock=clock)) for entry in entries}
        self.intake = Intake(redis, signer.ss58, on_gap=self._request_all)
        self._due = {entry.hotkey: asyncio.Event() for entry in entries}
        self._confirmations = {entry.hotkey: Confirmation(REPEAT_SECONDS) for entry in entries}
        self.feeds = [self._feed(entry, waits) for entry in entries]

    def _feed(self, entry: ValidatorEntry, waits: Waits | None) -> Feed:
        def on_message(message: object) -> None:
            self.intake.take(message, validator=entry.hotkey)

        async def on_ready() -> None:
            self._due[entry.hotkey].set()

        return Feed(
            entry, self._signer, on_message=on_message, on_ready=on_ready, clock=self._clock, random=random, waits=waits
        )

    @property
    def ready(self) -> dict[str, bool]:
        """Which validators' feeds are authenticated right now."""
        return {feed.entry.hotkey: feed.is_ready for feed in self.feeds}

    async def run(self) -> None:
        """Hold everything open; ends only by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.intake.deliver())
            tasks.create_task(self._apply_facts())
            for feed in self.feeds:
                tasks.create_task(feed.run())
                tasks.create_task(self._reconciles(feed.entry.hotkey))

    async def _request_all(self) -> None:
        for due in self._due.values():
            due.set()

    async def _reconciles(self, validator: str) -> None:
        view = RemoteView()
        while True:
            waiting = self._confirmations[validator].is_waiting
            pause = min(CONFIRM_SECONDS, self._reconcile_seconds) if waiting else self._reconcile_seconds
            try:
                async with asyncio.timeout(pause):
                    await self._due[validator].wait()
            except TimeoutError:
                pass
            self._due[validator].clear()
            try:
                view = await self.reconcile(validator, view)
            except (*OUTAGES, SQLAlchemyError) as error:
                log.warning("a reconcile waits for the database", validator=validator, error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                self._due[validator].set()

    async def reconcile(self, validator: str, view: RemoteView) -> RemoteView:
        """Compare once and queue what was missed; parts that could not be read now prove nothing."""
        view = await refresh(self.clients[validator], view, clock=self._clock, parts=_RECONCILED_PARTS)
        async with AsyncSession(self._engine) as session:
            deployments = await facts.known_deployments(session)
            chutes = await facts.known_chutes(session)
        missed = missed_events(
            validator=validator,
            hotkey=self._signer.ss58,
            deployments=deployments,
            chutes=chutes,
            remote_instances=None if "instances" in view.failures else view.instances,
            remote_chutes=None if "chutes" in view.failures else view.chutes,
        )
        passed = self._confirmations[validator].passes(missed, self._clock())
        for event in passed:
            self.intake.queue(event)
        if passed:
            log.info("a reconcile found missed events", validator=validator, count=len(passed))
        return view

    async def _apply_facts(self) -> None:
        consumer = Consumer(self._redis, FACTS_GROUP, "leader")
        while True:
            try:
                await consumer.prepare()
                async for delivery in consumer.each():
                    await self._apply_fact(delivery.event)
                    await consumer.acknowledge(delivery)
            except (RedisError, *OUTAGES, SQLAlchemyError) as error:
                log.warning("facts of events wait", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _apply_fact(self, event: Event) -> None:
        """Write what an event states; what the database refuses is left out, or it would hold up all behind it."""
        try:
            async with AsyncSession(self._engine) as session, session.begin():
                await facts.apply(session, event, datetime.fromtimestamp(self._clock(), UTC))
        except SQLAlchemyError as error:
            if not is_refusal(error):
                raise
            log.warning("a fact was left out", reason=event.reason.value, error=str(error).splitlines()[0])
