"""Polls a validator's lists into the world and our chute rows after them (spec: gepetto 8, 16)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.gepetto.ingest.world import World
from app.gepetto.ports import UnavailableError, ValidatorPort
from app.gepetto.world.snapshot import SourceName
from app.protocol.chutes import ChuteRecord
from app.storage import chutes

log = structlog.get_logger(__name__)

LIST_SECONDS = 120.0


@dataclass
class FeedReader:
    """Reads every list of one validator side by side; one that fails leaves the others alone."""

    world: World
    validator: ValidatorPort
    engine: AsyncEngine
    clock: Callable[[], float]
    written: dict[str, int] = field(default_factory=dict)
    #: The lists that one refresh reads.
    lists: ClassVar[tuple[SourceName, ...]] = (
        SourceName.CHUTES,
        SourceName.INSTANCES,
        SourceName.ACTIVE_INSTANCES,
        SourceName.UTILIZATION,
        SourceName.SERVERS,
    )

    async def refresh(self) -> None:
        """All lists once, then the definitions that changed."""
        await asyncio.gather(
            self._guard(SourceName.CHUTES, self._chutes),
            self._guard(SourceName.INSTANCES, self._instances),
            self._guard(SourceName.ACTIVE_INSTANCES, self._active),
            self._guard(SourceName.UTILIZATION, self._utilization),
            self._guard(SourceName.SERVERS, self._servers),
        )
        await self.write_definitions()

    async def _guard(self, name: SourceName, read: Callable[[float], Awaitable[None]]) -> None:
        started = self.clock()  # a list shows the world as of its request, not of its end
        try:
            async with asyncio.timeout(LIST_SECONDS):
                await read(started)
        except (UnavailableError, TimeoutError) as error:
            self.world.note(name, self.clock(), complete=False)
            log.warning("a list could not be read", list=name.value, reason=str(error) or type(error).__name__)

    async def _chutes(self, at: float) -> None:
        feed = await self.validator.chutes()
        complete = feed.complete and bool(feed.items)  # a network without chutes is a mistake, not a fact
        self.world.take_chutes(self.validator.hotkey, feed.items, at, complete=complete)

    async def _instances(self, at: float) -> None:
        feed = await self.validator.instances()
        self.world.take_instances(self.validator.hotkey, feed.items, at, complete=feed.complete)

    async def _active(self, at: float) -> None:
        feed = await self.validator.active_instances()
        complete = feed.complete and (bool(feed.items) or not self.world.active)
        if complete:
            self.world.active = feed.items
        self.world.note(SourceName.ACTIVE_INSTANCES, at, complete=complete)

    async def _utilization(self, at: float) -> None:
        feed = await self.validator.utilization()
        if feed.complete:
            self.world.utilization = self.world.utilization | {item.chute_id: item for item in feed.items}
        self.world.note(SourceName.UTILIZATION, at, complete=feed.complete)

    async def _servers(self, at: float) -> None:
        feed = await self.validator.servers()
        if feed.complete:
            self.world.remote_servers = self.world.remote_servers | {item.server_id: item for item in feed.items}
        self.world.note(SourceName.SERVERS, at, complete=feed.complete)

    async def write_definitions(self) -> int:
        """Upsert the rows of definitions that changed since they were last written; returns how many."""
        mine = {key: record for key, (owner, record) in self.world.chutes.items() if owner == self.validator.hotkey}
        changed = {key: record for key, record in mine.items() if self.written.get(key) != fingerprint(record)}
        if changed:
            await write_records(self.engine, changed, self.validator.hotkey)
            self.written |= {key: fingerprint(record) for key, record in changed.items()}
        return len(changed)

    async def fetch(self, chute_id: str, version: str) -> None:
        """One definition after an event; an outdated one (404) is skipped."""
        try:
            record = await self.validator.chute(chute_id, version)
        except UnavailableError as error:
            log.warning("a chute could not be fetched", chute=chute_id, reason=str(error))
            return
        if record is not None:
            self.world.chutes = {**self.world.chutes, chute_id: (self.validator.hotkey, record)}
            await self.write_definitions()


def fingerprint(record: ChuteRecord) -> int:
    """Changes when any column of the row changes; live numbers of the list are left out."""
    columns = chutes.columns_of(record, "")
    return hash(tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in columns.items()))


async def write_records(engine: AsyncEngine, records: Mapping[str, ChuteRecord], validator: str) -> None:
    """Upsert chute rows in one transaction. An absent reference keeps the last known one: the command line needs it."""
    async with asyncio.timeout(60), AsyncSession(engine) as session, session.begin():
        for record in records.values():
            known = await chutes.find(session, record.chute_id) if not record.ref_str else None
            kept = record.model_copy(update={"ref_str": known.ref_str}) if known is not None else record
            await chutes.upsert(session, kept, validator)
