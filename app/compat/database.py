"""`get_session` and `engine` under their public names: commit on a clean exit, roll back on an exception."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncSession

from app.compat.runtime import current

__all__ = ["engine", "get_session"]


class _Engine:
    """The process's engine, found when it is used."""

    def __getattr__(self, name: str) -> object:
        return getattr(current().engine, name)


engine = _Engine()


@asynccontextmanager
async def get_session() -> AsyncIterator[AsyncSession]:
    """A session whose objects stay usable after the commit."""
    async with AsyncSession(current().engine, expire_on_commit=False) as session, session.begin():
        yield session
