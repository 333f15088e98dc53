"""Repository of chutes. Takes a session; never commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.protocol.chutes import ChuteRecord
from app.storage.models import Chute


async def find(session: AsyncSession, chute_id: str) -> Chute | None:
    """A chute by id."""
    return await session.get(Chute, chute_id)


async def list_all(session: AsyncSession) -> Sequence[Chute]:
    """Every chute, without its source code."""
    return (await session.scalars(select(Chute).order_by(Chute.chute_id))).all()


def columns_of(record: ChuteRecord, validator: str) -> dict[str, object]:
    """The row of a validator's chute object (spec: protocol 8.1; absent code and file name are stored empty)."""
    return {
        "chute_id": record.chute_id,
        "validator": validator,
        "name": record.name,
        "image": record.image,
        "code": record.code,
        "filename": record.filename,
        "ref_str": record.ref_str,
        "version": record.version,
        "supported_gpus": list(record.gpu_refs),
        "gpu_count": record.gpu_count,
        "chutes_version": record.chutes_version,
        "preemptible": record.preemptible,
        "tee": record.tee,
    }


async def upsert(session: AsyncSession, record: ChuteRecord, validator: str, *, clear_ban: bool = False) -> None:
    """Insert or update a chute; the operator's ban stays unless the validator updated the chute."""
    values = columns_of(record, validator)
    changes: dict[str, object] = {name: value for name, value in values.items() if name != "chute_id"}
    changes["updated_at"] = func.now()
    if clear_ban:
        changes["ban_reason"] = None
    statement = insert(Chute).values(values).on_conflict_do_update(index_elements=[Chute.chute_id], set_=changes)
    await session.execute(statement)


async def set_images(session: AsyncSession, images: Mapping[str, tuple[str, str | None]]) -> None:
    """Set image and library version of chutes, given as `{chute_id: (image, chutes_version)}`."""
    for chute_id, (image, chutes_version) in images.items():
        values = {"image": image} | ({"chutes_version": chutes_version} if chutes_version is not None else {})
        await session.execute(update(Chute).where(Chute.chute_id == chute_id).values(values))


async def remove(session: AsyncSession, chute_id: str) -> bool:
    """Delete a chute and its deployment rows; False where it is unknown. Undeploy first."""
    rows = await session.execute(delete(Chute).where(Chute.chute_id == chute_id).returning(Chute.chute_id))
    return rows.first() is not None
