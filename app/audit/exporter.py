"""One hour's audit, in steps that can be repeated: report kept, committed once, uploaded to each validator.

Each step is stored before the next begins, so that a run that was cut off goes on where it stopped, with those bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import structlog
from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.audit.chain import ChainCommitError, Committer
from app.audit.report import Bucket
from app.storage.additions import AuditReport
from app.storage.models import DeploymentAudit
from app.validators.errors import RefusedError, ValidatorError

_COMMIT_ATTEMPTS: Final = 12
_UPLOAD_ATTEMPTS: Final = 6
_PAUSE_SECONDS: Final = 10.0
#: How far back a validator that was away is given what it missed.
MADE_UP_HOURS: Final = 24
_DUPLICATE_WORDS: Final = ("duplicate", "unique", "already")
_log = structlog.get_logger(__name__)


class AuditUploader(Protocol):
    """A validator that takes audits."""

    @property
    def hotkey(self) -> str: ...

    async def upload_audit(self, body: bytes, block: int) -> None:
        """Raises `ValidatorError`."""
        ...


async def audit_rows(session: AsyncSession, bucket: Bucket) -> Sequence[DeploymentAudit]:
    """What ran in the hour: not deleted, or deleted within it. Times are compared as naive UTC, as they are stored."""
    start, end = (moment.astimezone(UTC).replace(tzinfo=None) for moment in (bucket.start, bucket.end))
    alive = DeploymentAudit.deleted_at.is_(None)
    in_hour = DeploymentAudit.deleted_at.between(start, end)
    query = select(DeploymentAudit).where(or_(alive, in_hour)).order_by(DeploymentAudit.deployment_id)
    return (await session.scalars(query)).all()


class AuditExporter:
    """Runs one bucket.

    Args:
        build: makes the report's bytes; called only when none is stored yet.
        pause: waits between attempts; tests put in their own.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        committer: Committer,
        uploaders: Sequence[AuditUploader],
        build: Callable[[Bucket], Awaitable[bytes]],
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._engine = engine
        self._committer = committer
        self._uploaders = uploaders
        self._build = build
        self._pause = pause

    async def run(self, bucket: Bucket) -> bool:
        """Everything that is still to be done for an hour; whether all is done now.

        Raises:
            ChainCommitError: the chain took it in none of the attempts.
            PrometheusError: the report could not be made.
        """
        body, digest, block = await self._stored(bucket)
        if block is None:
            block = await self._commit(digest)
            await self._update(bucket, None, block=block)
        done = True
        for uploader in self._uploaders:
            if not await self._is_uploaded(bucket, uploader.hotkey):
                done = await self._upload(bucket, uploader, body, block) and done
        return done

    async def left_over(self, newest: Bucket, hours: int = MADE_UP_HOURS) -> list[Bucket]:
        """Hours before `newest` that were committed and that a validator still lacks, oldest first.

        One that was not committed is no more: the chain keeps one commitment of a hotkey, and this hour's stands there.
        """
        lacking = (
            select(AuditReport.bucket_start)
            .where(AuditReport.bucket_start < newest.start)
            .where(AuditReport.bucket_start >= newest.start - timedelta(hours=hours))
            .where(AuditReport.block.is_not(None), AuditReport.uploaded_at.is_(None))
            .where(AuditReport.validator.in_([uploader.hotkey for uploader in self._uploaders]))
        )
        async with AsyncSession(self._engine) as session:
            starts = await session.scalars(lacking.distinct().order_by(AuditReport.bucket_start))
            return [Bucket(start, start + timedelta(hours=1)) for start in starts]

    async def _stored(self, bucket: Bucket) -> tuple[bytes, str, int | None]:
        """The hour's report as it was first made, for every validator."""
        async with AsyncSession(self._engine, expire_on_commit=False) as session:
            found = (await session.scalars(select(AuditReport).where(AuditReport.bucket_start == bucket.start))).all()
        blocks = [row.block for row in found if row.block is not None]
        body = found[0].body if found else await self._build(bucket)
        digest = hashlib.sha256(body).hexdigest()
        known = {row.validator for row in found}
        missing = [
            {
                "bucket_start": bucket.start,
                "validator": uploader.hotkey,
                "body": body,
                "digest": digest,
                "block": blocks[0] if blocks else None,
            }
            for uploader in self._uploaders
            if uploader.hotkey not in known
        ]
        if missing:
            async with AsyncSession(self._engine) as session, session.begin():
                await session.execute(insert(AuditReport).values(missing).on_conflict_do_nothing())
        return body, digest, blocks[0] if blocks else None

    async def _commit(self, digest: str) -> int:
        for attempt in range(1, _COMMIT_ATTEMPTS + 1):
            try:
                return await self._committer.commit(digest)
            except ChainCommitError as error:
                if attempt == _COMMIT_ATTEMPTS:
                    raise
                _log.warning("the chain did not take the digest", attempt=attempt, error=str(error))
                await self._pause(_PAUSE_SECONDS)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _upload(self, bucket: Bucket, uploader: AuditUploader, body: bytes, block: int) -> bool:
        for attempt in range(1, _UPLOAD_ATTEMPTS + 1):
            try:
                await uploader.upload_audit(body, block)
            except ValidatorError as error:
                if not is_duplicate(error):
                    _log.warning("upload failed", validator=uploader.hotkey, attempt=attempt, error=str(error))
                    if attempt < _UPLOAD_ATTEMPTS:
                        await self._pause(_PAUSE_SECONDS)
                    continue
            await self._update(bucket, uploader.hotkey, uploaded_at=datetime.now(UTC))
            return True
        return False

    async def _is_uploaded(self, bucket: Bucket, validator: str) -> bool:
        async with AsyncSession(self._engine) as session:
            row = await session.get(AuditReport, (bucket.start, validator))
            return row is not None and row.uploaded_at is not None

    async def _update(
        self, bucket: Bucket, validator: str | None, *, block: int | None = None, uploaded_at: datetime | None = None
    ) -> None:
        statement = update(AuditReport).where(AuditReport.bucket_start == bucket.start)
        if validator is not None:
            statement = statement.where(AuditReport.validator == validator)
        values = {"block": block} if block is not None else {"uploaded_at": uploaded_at}
        async with AsyncSession(self._engine) as session, session.begin():
            await session.execute(statement.values(values))


def is_duplicate(error: ValidatorError) -> bool:
    """Whether a refusal means that this very report has been taken before: then it is done."""
    if not isinstance(error, RefusedError) or error.status not in {409, 500}:
        return False
    return any(word in error.detail.lower() for word in _DUPLICATE_WORDS)
