"""The audit exporter over a real database: one report, one commitment, one upload per validator (spec: protocol 16)."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.audit.chain import ChainCommitError
from app.audit.exporter import AuditExporter, audit_rows
from app.audit.report import Bucket
from app.storage.engine import create_engine
from app.storage.migrate import migrate
from app.validators.errors import RefusedError, UnreachableError, ValidatorError

pytestmark = pytest.mark.service
BUCKET = Bucket.last_full(datetime(2026, 1, 1, 12, 1, tzinfo=UTC))
HOUR = timedelta(hours=1)


class Chain:
    """Takes digests after so many failures; a test's peer."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.digests: list[str] = []

    async def commit(self, digest: str) -> int:
        if self.failures:
            self.failures -= 1
            raise ChainCommitError("busy")
        self.digests.append(digest)
        return 4711


class Validator:
    """Takes uploads after some errors; a test's peer."""

    def __init__(self, hotkey: str, *errors: ValidatorError) -> None:
        self.hotkey = hotkey
        self.errors = list(errors)
        self.uploads: list[tuple[bytes, int]] = []

    async def upload_audit(self, body: bytes, block: int) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.uploads.append((body, block))


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    made = create_engine(database_url)
    await migrate(made)
    yield made
    await made.dispose()


class Stage:
    """An exporter and what it did."""

    def __init__(self, engine: AsyncEngine, chain: Chain, *validators: Validator) -> None:
        self.built = 0
        self.pauses: list[float] = []
        self.exporter = AuditExporter(engine, chain, validators, self.build, pause=self.pause)

    async def build(self, bucket: Bucket) -> bytes:
        self.built += 1
        return f"report {self.built}".encode()

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


async def test_the_committed_digest_is_that_of_the_uploaded_bytes(engine: AsyncEngine) -> None:
    chain, first, second = Chain(), Validator("v1"), Validator("v2")
    assert await Stage(engine, chain, first, second).exporter.run(BUCKET)
    assert first.uploads == second.uploads == [(b"report 1", 4711)]
    assert chain.digests == [hashlib.sha256(b"report 1").hexdigest()]


async def test_a_second_run_of_the_same_hour_is_harmless(engine: AsyncEngine) -> None:
    chain, validator = Chain(), Validator("v1")
    assert await Stage(engine, chain, validator).exporter.run(BUCKET)
    again = Stage(engine, chain, validator)
    assert await again.exporter.run(BUCKET)
    assert (again.built, len(chain.digests), len(validator.uploads)) == (0, 1, 1)


async def test_a_run_that_was_cut_off_goes_on_with_the_same_bytes(engine: AsyncEngine) -> None:
    with pytest.raises(ChainCommitError):
        await Stage(engine, Chain(failures=12), Validator("v1")).exporter.run(BUCKET)
    chain, validator = Chain(failures=2), Validator("v1", *[UnreachableError("away")] * 6)
    stage = Stage(engine, chain, validator)
    assert not await stage.exporter.run(BUCKET)
    assert stage.pauses == [10.0] * 7
    last = Stage(engine, chain, validator)
    assert await last.exporter.run(BUCKET)
    assert (stage.built, last.built, len(chain.digests)) == (0, 0, 1)
    assert validator.uploads == [(b"report 1", 4711)]


async def test_a_validator_that_was_away_gets_a_committed_hour_later_and_nothing_is_committed_for_an_old_one(
    engine: AsyncEngine,
) -> None:
    uncommitted, away = (Bucket(BUCKET.start + n * HOUR, BUCKET.end + n * HOUR) for n in (1, 2))
    newest = Bucket(BUCKET.start + 3 * HOUR, BUCKET.end + 3 * HOUR)
    assert await Stage(engine, Chain(), Validator("v1")).exporter.run(BUCKET)
    with pytest.raises(ChainCommitError):
        await Stage(engine, Chain(failures=12), Validator("v1")).exporter.run(uncommitted)
    assert not await Stage(engine, Chain(), Validator("v1", *[UnreachableError("away")] * 6)).exporter.run(away)
    chain, validator = Chain(), Validator("v1")
    stage = Stage(engine, chain, validator)
    assert await stage.exporter.left_over(newest) == [away]
    assert await stage.exporter.left_over(newest, hours=1) == [away]
    assert await stage.exporter.left_over(away) == []
    assert await stage.exporter.run(away)
    assert (await stage.exporter.left_over(newest), chain.digests, len(validator.uploads)) == ([], [], 1)


async def test_a_report_that_was_taken_before_counts_as_uploaded(engine: AsyncEngine) -> None:
    validator = Validator("v1", RefusedError("POST", 500, "duplicate key value"))
    assert await Stage(engine, Chain(), validator).exporter.run(BUCKET)
    assert validator.uploads == []


async def test_rows_are_those_alive_or_deleted_in_the_hour(engine: AsyncEngine) -> None:
    rows = {
        "alive": "NULL",
        "within": "'2026-01-01 11:30'",
        "before": "'2026-01-01 10:59'",
        "after": "'2026-01-01 12:01'",
    }
    async with engine.begin() as connection:
        for name, deleted in rows.items():
            await connection.execute(
                text(
                    "INSERT INTO deployment_audit (deployment_id, validator, chute_id, version, deleted_at)"
                    f" VALUES ('{name}', 'v', 'c', '1', {deleted})"
                )
            )
    async with AsyncSession(engine) as session:
        found = await audit_rows(session, BUCKET)
    assert [row.deployment_id for row in found] == ["alive", "within"]
