"""What is written down of decisions and of validators' words; nothing here touches a cluster (spec: gepetto 24.5)."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.gepetto.decision.gate import Refusal
from app.gepetto.decision.intents import Intent, NoOp, RecordInstance
from app.gepetto.world.snapshot import Snapshot
from app.storage import deployments, servers
from app.storage import intents as requests
from app.storage.journal import DecisionRecord

WRITE_SECONDS: Final = 30.0


async def record_instance(engine: AsyncEngine, intent: Intent, snapshot: Snapshot) -> str:
    """Copy what the validator says of a copy into its row: instance, verification, activity."""
    if not isinstance(intent, RecordInstance):
        return "ignored"
    row = next((row for row in snapshot.deployments if row.id == intent.deployment_id), None)
    if row is None or row.config_id is None:
        return "ignored"
    at = datetime.fromtimestamp(snapshot.now, UTC)
    async with asyncio.timeout(WRITE_SECONDS), AsyncSession(engine) as session, session.begin():
        await deployments.set_instance(session, row.config_id, intent.instance_id)
        if intent.verified:
            await deployments.set_verified(session, intent.instance_id, at)
        if intent.active and not row.active:
            await deployments.set_activated(session, row.config_id, at)
        if row.active and not intent.active:
            await deployments.set_inactive(session, row.config_id)
    return "recorded"


async def remove_server(engine: AsyncEngine, server_id: str, snapshot: Snapshot) -> None:
    """Remove a drained server's row and close the requests that asked for it."""
    async with asyncio.timeout(WRITE_SECONDS), AsyncSession(engine) as session, session.begin():
        await servers.remove(session, server_id)
        for order in snapshot.orders:
            if order.subject_id == server_id and order.source.startswith("request "):
                await requests.finish(session, int(order.source.split(" ", 1)[1]))


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision: its inputs, who decided, what was let through, what was held back, and how long it took."""

    snapshot: Snapshot
    decider: str
    allowed: tuple[Intent, ...]
    refused: tuple[Refusal, ...]
    seconds: float


class DecisionJournal:
    """Keeps decisions that wanted something; one that says the same as the last is not kept again."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._last: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())

    async def keep(self, decision: Decision) -> bool:
        """Write a decision down; with the snapshot's digest it can be compared with a replay. False: nothing new."""
        acted = [intent for intent in decision.allowed if not isinstance(intent, NoOp | RecordInstance)]
        keys = frozenset(intent.key for intent in acted), frozenset(item.intent.key for item in decision.refused)
        if keys == self._last:
            return False
        self._last = keys
        if not any(keys):
            return False
        body: dict[str, object] = {
            "intents": [_plain(intent) for intent in acted],
            "refused": [
                {"key": item.intent.key, "reason": item.reason, "alert": item.alert} for item in decision.refused
            ],
        }
        record = DecisionRecord(
            made_at=datetime.fromtimestamp(decision.snapshot.now, UTC),
            digest=decision.snapshot.digest(),
            strategy=decision.decider,
            seconds=decision.seconds,
            body=body,
        )
        async with asyncio.timeout(WRITE_SECONDS), AsyncSession(self._engine) as session, session.begin():
            session.add(record)
        return True


def _plain(intent: Intent) -> dict[str, object]:
    if not is_dataclass(intent):
        raise TypeError(f"intents are dataclasses, got {type(intent).__name__}")
    return {"kind": type(intent).__name__, **asdict(intent)}
