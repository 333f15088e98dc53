"""Who adds a server just now, and what an adding that was killed left behind.

An advisory lock of a connection of its own says that a name is being added: it ends with its process, however that is.
A row without a verified GPU, without a deployment and without that lock is nobody's any more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import exists, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.api.services import Services
from app.storage import servers
from app.storage.engine import OUTAGES, is_locked, try_lock
from app.storage.models import Deployment, Gpu, Server
from app.validators.forgetting import forget_server


@dataclass(frozen=True)
class Leftover:
    """A row that an adding left, with what its validator may have been told."""

    server_id: str
    validator: str
    gpu_ids: tuple[str, ...]


@asynccontextmanager
async def claimed(engine: AsyncEngine, name: str) -> AsyncIterator[bool]:
    """Claim a server's name for the block; False where somebody else has it, in this process or another."""
    connection = await engine.connect()
    try:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        # Held for minutes, and by many at a time: it must not count against the pool.
        await connection.run_sync(lambda held: held.detach())
        yield await try_lock(connection, servers.adding_lock(name))
    finally:
        with suppress(*OUTAGES, SQLAlchemyError):  # a connection that is lost has lost its lock
            await connection.close()


async def is_free(engine: AsyncEngine, name: str) -> bool:
    """Whether nobody adds this name just now. Only looks: a claim to find out would refuse somebody else's."""
    async with engine.connect() as connection:
        return not await is_locked(connection, servers.adding_lock(name))


async def leftover(session: AsyncSession, name: str) -> Leftover | None:
    """The row of this name, where it is one that an adding left. Ask while the name is claimed or known to be free."""
    in_use = exists().where(Gpu.server_id == Server.server_id, Gpu.verified.is_(True))
    runs = exists().where(Deployment.server_id == Server.server_id)
    row = (
        await session.execute(select(Server.server_id, Server.validator).where(Server.name == name, ~in_use, ~runs))
    ).first()
    if row is None:
        return None
    gpu_ids = (await session.scalars(select(Gpu.gpu_id).where(Gpu.server_id == row[0]))).all()
    return Leftover(row[0], row[1], tuple(gpu_ids))


async def clear(services: Services, name: str) -> bool:
    """Remove what an adding left that was killed, at its validator and here; the caller has claimed the name.

    Raises:
        ValidatorError: the validator did not forget it; the row stays, which says what there is to forget.
    """
    async with AsyncSession(services.engine) as session:
        found = await leftover(session, name)
    if found is None:
        return False
    validator = services.validator(found.validator)
    if validator is not None:
        await forget_server(validator, found.server_id, found.gpu_ids)
    async with AsyncSession(services.engine) as session, session.begin():
        await servers.remove(session, found.server_id)
    return True
