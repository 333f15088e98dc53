"""One-time calls to validators: each once in a database's life, whichever program it was (spec: gepetto 4.5)."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from app.gepetto.execution.validator_migrations import MIGRATIONS, run_pending, run_until_done
from app.gepetto.ports import UnavailableError
from app.protocol.servers import RemoteServer
from tests.service.app.gepetto.conftest import Stage
from tests.support.gepetto import VALIDATOR
from tests.support.waiting import until

pytestmark = pytest.mark.service
TOLD = [("rename_server", "server-000 node-000"), ("rename_server", "server-001 node-001")]


async def two_servers(stage: Stage) -> None:
    for number in range(2):
        await stage.add_server(number)
    stage.validator.server_list.append(
        RemoteServer(server_id="server-000", version="1.4.0")
    )  # the other is unknown there


async def test_every_server_is_named_once(stage: Stage) -> None:
    await two_servers(stage)
    validators = {VALIDATOR: stage.validator}
    assert await run_pending(stage.engine, validators) == ("2025013101",)
    assert stage.validator.calls == TOLD
    assert await stage.count("validator_migrations", "migration_id = '2025013101'") == 1
    assert await run_pending(stage.engine, validators) == ()
    assert stage.validator.calls == TOLD


async def test_what_the_public_program_has_run_is_not_run_again(stage: Stage) -> None:
    await two_servers(stage)
    async with stage.engine.begin() as connection:
        statement = "INSERT INTO validator_migrations (migration_id, name) VALUES (:number, 'as told')"
        await connection.execute(text(statement), {"number": MIGRATIONS[-1].number})
    assert await run_pending(stage.engine, {VALIDATOR: stage.validator}) == ()
    assert stage.validator.calls == []


async def test_a_validator_that_is_away_is_asked_again_and_nothing_is_written_down_before(stage: Stage) -> None:
    await two_servers(stage)
    stage.validator.is_down = True
    with pytest.raises(UnavailableError):
        await run_pending(stage.engine, {VALIDATOR: stage.validator})
    assert await stage.count("validator_migrations") == 0
    task = asyncio.create_task(run_until_done(stage.engine, {VALIDATOR: stage.validator}, 0.02))
    await until(lambda: len(stage.validator.calls) >= 3)
    stage.validator.is_down = False
    async with asyncio.timeout(10):
        await task
    assert stage.validator.calls[-2:] == TOLD
    assert await stage.count("validator_migrations") == 1


@pytest.mark.parametrize(("status", "done"), [(403, True), (500, False)])
async def test_only_a_refusal_for_good_is_left_at_that(stage: Stage, status: int, done: bool) -> None:
    await two_servers(stage)
    stage.validator.refuse_name_with = status
    if done:
        assert await run_pending(stage.engine, {VALIDATOR: stage.validator}) == ("2025013101",)
        assert stage.validator.calls == TOLD
    else:
        with pytest.raises(UnavailableError):
            await run_pending(stage.engine, {VALIDATOR: stage.validator})


async def test_a_server_whose_validator_is_not_configured_holds_nothing_up(stage: Stage) -> None:
    await two_servers(stage)
    assert await run_pending(stage.engine, {}) == ("2025013101",)
