"""Fresh, own and public databases all come to the newest schema, in place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.storage.engine import create_engine, lock_key
from app.storage.migrate import migrate
from tests.support.public_database import OLD_ROWS, OLD_SCHEMA

pytestmark = pytest.mark.service

INSERT_SERVER = (
    "INSERT INTO servers (server_id, validator, name, labels, gpu_count, cpu_per_gpu, memory_per_gpu, hourly_cost) "
    "VALUES (:id, 'v', :id, '{}', :gpus, :cpus, 8, 1.0)"
)

INSERT_DEPLOYMENT = (
    "INSERT INTO deployments (deployment_id, validator, chute_id, server_id, version, port) "
    "VALUES ('d2', 'v', 'c1', 's1', 'v1', 2)"
)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url, pool_size=2)
    yield engine
    await engine.dispose()


async def execute(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def rows(engine: AsyncEngine, statement: str) -> list[tuple[object, ...]]:
    async with engine.connect() as connection:
        return [tuple(row) for row in (await connection.execute(text(statement))).all()]


async def test_a_second_run_changes_nothing_and_parallel_runs_do_not_collide(engine: AsyncEngine) -> None:
    await asyncio.gather(migrate(engine), migrate(engine))
    await migrate(engine)
    assert await rows(engine, "SELECT version_num FROM headframe_schema") == [("0004",)]


async def test_a_program_waits_for_another_ones_revisions_longer_than_any_statement_of_its_own_may_take(
    engine: AsyncEngine, database_url: str
) -> None:
    hasty = create_engine(database_url, pool_size=1, command_timeout_seconds=0.2)
    async with engine.begin() as other:
        await other.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key("migrate")})
        waiting = asyncio.create_task(migrate(hasty))
        await asyncio.sleep(1)
        assert not waiting.done()
    await waiting
    await hasty.dispose()
    assert await rows(engine, "SELECT count(*) FROM headframe_schema") == [(1,)]


async def test_an_old_public_database_is_adopted_without_rewriting_rows(engine: AsyncEngine) -> None:
    await execute(engine, *OLD_SCHEMA, *OLD_ROWS)
    files = (
        "SELECT relname, pg_relation_filenode(oid) FROM pg_class WHERE relname IN ('deployments', 'chutes', 'servers')"
    )
    before = sorted(await rows(engine, files))
    await migrate(engine)
    assert sorted(await rows(engine, files)) == before
    assert await rows(engine, "SELECT verified_at FROM deployments") == [(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),)]
    assert await rows(engine, "SELECT gpu_id, deployment_id FROM gpu_claims WHERE released_at IS NULL") == [
        ("g1", "d1")
    ]
    assert await rows(engine, "SELECT version FROM schema_migrations") == [("20240801000000",)]
    assert await rows(engine, "SELECT cpu_per_gpu, kubeconfig, is_tee FROM servers") == [(0, None, False)]


async def test_audit_rows_follow_insert_verify_delete_and_cascade_after_adoption(engine: AsyncEngine) -> None:
    await execute(engine, *OLD_SCHEMA, *OLD_ROWS)
    await migrate(engine)
    await execute(
        engine,
        INSERT_DEPLOYMENT,
        "UPDATE deployments SET verified_at = '2026-05-01T00:00:00+02:00', instance_id = 'i2' WHERE port = 2",
        "DELETE FROM deployments WHERE deployment_id = 'd2'",
        "DELETE FROM servers WHERE server_id = 's1'",
    )
    found = await rows(
        engine, "SELECT deployment_id, verified_at, instance_id, deleted_at IS NULL FROM deployment_audit ORDER BY 1"
    )
    assert found == [
        ("d1", datetime(2026, 1, 2, 3, 4, 5), None, False),  # noqa: DTZ001 - the column is naive UTC
        ("d2", datetime(2026, 4, 30, 22), "i2", False),  # noqa: DTZ001
    ]


async def test_a_gpu_belongs_to_at_most_one_live_deployment(engine: AsyncEngine) -> None:
    await execute(engine, *OLD_SCHEMA, *OLD_ROWS)
    await migrate(engine)
    await execute(
        engine,
        INSERT_DEPLOYMENT,
    )
    with pytest.raises(DBAPIError, match="gpu_claims_one_live_deployment"):
        await execute(engine, "UPDATE gpus SET deployment_id = 'd2' WHERE gpu_id = 'g1'")
    await execute(engine, "UPDATE gpus SET deployment_id = NULL WHERE gpu_id = 'g1'")
    await execute(engine, "UPDATE gpus SET deployment_id = 'd2' WHERE gpu_id = 'g1'")
    await execute(engine, "DELETE FROM deployments WHERE deployment_id = 'd2'")
    assert await rows(engine, "SELECT deployment_id FROM gpu_claims WHERE released_at IS NULL") == []


@pytest.mark.parametrize(("gpus", "cpus"), [(-1, 1), (1, 0)])
async def test_impossible_capacities_are_refused(engine: AsyncEngine, gpus: int, cpus: int) -> None:
    await migrate(engine)
    async with engine.begin() as connection:
        with pytest.raises(DBAPIError, match="violates check constraint"):
            await connection.execute(text(INSERT_SERVER), {"id": "x", "gpus": gpus, "cpus": cpus})
