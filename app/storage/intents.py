"""Repository of intents: what an operator asked for, kept until the scheduler has done it. Never commits."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.storage.additions import Intent, IntentKind


async def record(session: AsyncSession, kind: IntentKind, subjects: Sequence[str]) -> None:
    """Ask for something; asking again while it is open changes nothing."""
    if subjects:
        rows = [{"kind": kind.value, "subject": subject} for subject in subjects]
        await session.execute(insert(Intent).values(rows).on_conflict_do_nothing())


async def take_open(session: AsyncSession, limit: int = 100) -> Sequence[Intent]:
    """Open intents, oldest first, locked for this transaction; another worker's are skipped."""
    statement = select(Intent).where(Intent.done_at.is_(None)).order_by(Intent.id).limit(limit)
    return (await session.scalars(statement.with_for_update(skip_locked=True))).all()


async def finish(session: AsyncSession, intent_id: int) -> None:
    """Mark an intent as done."""
    await session.execute(update(Intent).where(Intent.id == intent_id).values(done_at=func.now(), last_error=None))


async def fail(session: AsyncSession, intent_id: int, error: str) -> None:
    """Keep an intent open and remember why it could not be done this time."""
    values = {"attempts": Intent.attempts + 1, "last_error": error}
    await session.execute(update(Intent).where(Intent.id == intent_id).values(values))
