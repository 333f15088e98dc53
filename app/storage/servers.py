"""Repository of servers and their GPUs. Takes a session; never commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.storage.additions import NodeProfile
from app.storage.engine import is_locked
from app.storage.models import Deployment, Gpu, Server


async def find(session: AsyncSession, name_or_id: str) -> Server | None:
    """A server by its name or id; a name wins where one server's name is another's id."""
    condition = or_(Server.name == name_or_id, Server.server_id == name_or_id)
    rows = (await session.scalars(select(Server).where(condition).limit(2))).all()
    return next((row for row in rows if row.name == name_or_id), rows[0] if rows else None)


async def find_by_address(session: AsyncSession, address: str) -> Server | None:
    """The server with this public address; None where no or several servers have it."""
    rows = (await session.scalars(select(Server).where(Server.ip_address == address).limit(2))).all()
    return rows[0] if len(rows) == 1 else None


async def list_all(session: AsyncSession) -> Sequence[Server]:
    """Every server without relations, by name."""
    return (await session.scalars(select(Server).order_by(Server.name))).all()


async def set_locked(session: AsyncSession, server_id: str, *, locked: bool) -> None:
    """Stop or allow placement on a server; what runs there goes on running."""
    await session.execute(update(Server).where(Server.server_id == server_id).values(locked=locked))


async def set_hourly_cost(session: AsyncSession, server_id: str, hourly_cost: float) -> None:
    """Set what a server costs, in USD per GPU and hour."""
    await session.execute(update(Server).where(Server.server_id == server_id).values(hourly_cost=hourly_cost))


async def add_gpus(session: AsyncSession, gpus: Sequence[Gpu]) -> None:
    """Insert GPUs, unverified until a validator said so."""
    session.add_all(gpus)
    await session.flush()


async def names_of_gpus(session: AsyncSession, gpu_ids: Sequence[str]) -> set[str]:
    """Names of the servers that have any of these GPUs."""
    joined = select(Server.name).join(Gpu, Gpu.server_id == Server.server_id)
    return set((await session.scalars(joined.where(Gpu.gpu_id.in_(gpu_ids)))).all())


async def set_gpus_verified(session: AsyncSession, server_id: str) -> int:
    """Mark all GPUs of a server as verified; returns how many there are."""
    rows = await session.execute(
        update(Gpu).where(Gpu.server_id == server_id).values(verified=True).returning(Gpu.gpu_id)
    )
    return len(rows.all())


def adding_lock(name: str) -> str:
    """Name of the advisory lock that who adds a server of this name holds until all is done."""
    return f"adding server {name}"


async def set_gpu_verified(session: AsyncSession, gpu_id: str) -> bool:
    """Mark one GPU as verified; False where it is unknown, or its server is just being added.

    Who adds a server marks all its GPUs at the end. Marked before, they would get a chute while the pod of the proof
    still holds the node's processors, and the kubelet would refuse it (seen: OutOfcpu).
    """
    named = select(Server.name).join(Gpu, Gpu.server_id == Server.server_id).where(Gpu.gpu_id == gpu_id)
    name = await session.scalar(named)
    if name is None or await is_locked(await session.connection(), adding_lock(name)):
        return False
    rows = await session.execute(update(Gpu).where(Gpu.gpu_id == gpu_id).values(verified=True).returning(Gpu.gpu_id))
    return rows.first() is not None


async def remove(session: AsyncSession, server_id: str) -> bool:
    """Delete a server with its GPUs and deployments; False where it is unknown. Undeploy first."""
    rows = await session.execute(delete(Server).where(Server.server_id == server_id).returning(Server.server_id))
    return rows.first() is not None


async def save_profile(session: AsyncSession, profile: NodeProfile) -> None:
    """Insert or replace what is known of a node beyond the public columns."""
    await session.merge(profile)
    await session.flush()


async def jobs_on(session: AsyncSession, server_id: str) -> Sequence[Deployment]:
    """Deployments of a server that run a job, which a deletion would lose."""
    condition = (Deployment.server_id == server_id) & Deployment.job_id.is_not(None)
    return (await session.scalars(select(Deployment).where(condition))).all()


@dataclass(frozen=True)
class Addressed:
    """A node as registry authorisation needs it."""

    server_id: str
    name: str
    registry_token_sha256: str | None


async def by_address(session: AsyncSession, address: str) -> Sequence[Addressed]:
    """Nodes with this public address and the digest of their registry token."""
    rows = await session.execute(
        select(Server.server_id, Server.name, NodeProfile.registry_token_sha256)
        .outerjoin(NodeProfile, NodeProfile.server_id == Server.server_id)
        .where(Server.ip_address == address)
    )
    return [Addressed(*row) for row in rows]
