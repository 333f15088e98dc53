"""Endings that meet a validator's no, and orphans that nobody can look at (spec: gepetto 15.2, 16; law 1)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from app.gepetto.decision.intents import DrainServer, Evidence, ForgetInstance, Intent, Swap, Terminate
from app.gepetto.execution.ending import PATIENCE_SECONDS, EndingResult
from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import InstanceView
from tests.service.app.gepetto.conftest import Stage
from tests.support.gepetto import VALIDATOR
from tests.support.gepetto_outside import FakeValidator
from tests.support.gepetto_stage import LAUNCH, drain, launched, order

pytestmark = pytest.mark.service


async def results(stage: Stage, snapshot: Snapshot, *intents: Intent) -> list[str]:
    found: list[str] = []
    executor = stage.restart()
    executor.report = lambda _, result: found.append(result)
    executor.submit(intents, snapshot)
    await drain(executor)
    return found


async def test_an_instance_without_a_launch_config_is_never_deleted(stage: Stage) -> None:
    _, snapshot = await launched(stage)
    for config_id in (None, ""):
        seen = replace(snapshot, instances=(InstanceView("i9", "chute-000", config_id, 0.0, validator=VALIDATOR),))
        assert await results(stage, seen, ForgetInstance("i9", "chute-000")) == ["unfounded"]
    assert await results(stage, snapshot, ForgetInstance("unknown", "chute-000")) == ["unfounded"]
    assert [name for name, _ in stage.validator.calls if name == "delete_instance"] == []


async def test_an_instance_is_deleted_at_its_own_validator_alone(stage: Stage) -> None:
    executor, snapshot = await launched(stage)
    other = FakeValidator(hotkey="another")
    executor.ender.validators["another"] = other  # type: ignore[index]
    for validator, expected in (("another", "done"), ("unconfigured", "unfounded")):
        seen = replace(snapshot, instances=(InstanceView("i9", "chute-000", "config-9", 0.0, validator=validator),))
        found: list[str] = []
        executor.report = lambda _, result, found=found: found.append(result)  # type: ignore[misc]
        executor.submit((ForgetInstance("i9", "chute-000"),), seen)
        await drain(executor)
        assert found == [expected]
    assert other.calls == [("delete_instance", "i9")]
    assert ("delete_instance", "i9") not in stage.validator.calls


@pytest.mark.parametrize("stands", ["row by config", "row by instance", "pod", "cluster down", "no server"])
async def test_an_instance_that_anything_may_stand_for_is_not_deleted(stage: Stage, stands: str) -> None:
    _, snapshot = await launched(stage)
    instance = InstanceView("i9", "chute-000", "config-9", 0.0, validator=VALIDATOR)
    async with stage.engine.begin() as connection:
        if stands == "row by config":  # launched after the snapshot was made
            await connection.execute(text("UPDATE deployments SET config_id = 'config-9'"))
        elif stands == "row by instance":
            await connection.execute(text("UPDATE deployments SET instance_id = 'i9'"))
        elif stands == "no server":  # an empty database says nothing at all
            await connection.execute(text("DELETE FROM servers"))
    cluster = await stage.clusters.of("server-000")
    if stands == "pod":
        instance = replace(instance, config_id="config-1")
    cluster.is_down = stands == "cluster down"
    expected = "vetoed" if stands in {"cluster down", "no server"} else "unfounded"
    seen = replace(snapshot, instances=(instance,))
    assert await results(stage, seen, ForgetInstance("i9", "chute-000")) == [expected]
    assert [name for name, _ in stage.validator.calls if name == "delete_instance"] == []


@pytest.mark.parametrize("status", [400, 403, 409])
async def test_an_ending_goes_on_where_the_validator_refuses_for_good(stage: Stage, status: int) -> None:
    _, snapshot = await launched(stage)
    stage.validator.refuse_deletion_with = status
    assert await results(stage, snapshot, Terminate("d1", Evidence.POD_FINISHED)) == ["done_refused"]
    assert await stage.count("gepetto_journal", "step = 'undeployed' AND detail LIKE '%refused%'") == 1
    assert await stage.is_clean()


async def test_a_copy_is_kept_where_only_we_wanted_its_end_and_the_validator_refuses(stage: Stage) -> None:
    _, snapshot = await launched(stage)
    await stage.add_chute(1, gpu_count=2)
    stage.validator.refuse_deletion_with = 403
    swap = Swap(("d1",), replace(LAUNCH, chute_id="chute-001"))
    assert await results(stage, snapshot, swap) == ["victims_kept"]
    assert set((await stage.clusters.of("server-000")).jobs) == {"chute-d1"}
    assert await stage.count("gepetto_journal", "step = 'kept' AND done_at IS NOT NULL") == 1
    assert await stage.count("deployments", "deployment_id = 'd1'") == 1


async def set_active(stage: Stage, *, active: bool) -> None:
    since = "now()" if active else "NULL"
    async with stage.engine.begin() as connection:
        await connection.execute(text(f"UPDATE deployments SET active = {active}, activated_at = {since}"))


async def test_a_start_that_is_given_up_goes_on_where_it_has_become_active_all_the_same(stage: Stage) -> None:
    executor, snapshot = await launched(stage)
    await set_active(stage, active=False)
    lost = Terminate("d1", Evidence.BOUNTY_LOST)
    stage.validator.refuse_deletion_with = 500
    assert await executor.ender.end(snapshot.deployments[0], lost) is EndingResult.WAITING
    await set_active(stage, active=True)
    stage.validator.refuse_deletion_with = None
    assert await executor.recover() == {"ending kept": 1}
    assert await results(stage, snapshot, lost) == ["already"]
    assert set((await stage.clusters.of("server-000")).jobs) == {"chute-d1"}
    assert [name for name, _ in stage.validator.calls].count("delete_instance") == 1


async def test_what_is_put_off_for_one_reason_is_done_for_another(stage: Stage) -> None:
    executor, snapshot = await launched(stage)
    await set_active(stage, active=False)
    stage.validator.refuse_deletion_with = 403
    found: list[str] = []
    executor.report = lambda _, result: found.append(result)
    for evidence in (Evidence.BOUNTY_LOST, Evidence.BOUNTY_LOST, Evidence.OPERATOR):
        executor.submit((Terminate("d1", evidence),), snapshot)
        await drain(executor)
    assert found == ["kept", "done_refused"]


@pytest.mark.parametrize("status", [401, 429, 500])
async def test_a_refusal_that_may_pass_is_waited_for_but_not_for_ever(stage: Stage, status: int) -> None:
    executor, snapshot = await launched(stage)
    stage.validator.refuse_deletion_with = status
    ending = Terminate("d1", Evidence.OPERATOR)
    assert await executor.ender.end(snapshot.deployments[0], ending) is EndingResult.WAITING
    assert await executor.recover() == {"ending waiting": 1}
    assert set((await stage.clusters.of("server-000")).jobs) == {"chute-d1"}
    async with stage.engine.begin() as connection:
        age = f"UPDATE gepetto_journal SET created_at = now() - interval '{PATIENCE_SECONDS + 1} s'"
        await connection.execute(text(age))
    assert await executor.recover() == {"ending done_refused": 1}
    assert await stage.is_clean()


async def test_an_ending_whose_server_was_taken_out_is_closed(stage: Stage) -> None:
    executor, _ = await launched(stage)
    await executor.launcher.store.drain("d1", Evidence.OPERATOR.value, "")
    async with stage.engine.begin() as connection:
        await connection.execute(text("DELETE FROM servers"))
    assert await stage.restart().recover() == {"ending abandoned": 1}
    assert await stage.count("gepetto_journal", "done_at IS NULL") == 0


async def test_a_server_is_not_forgotten_while_a_copy_is_leaving_it(stage: Stage) -> None:
    executor, snapshot = await launched(stage)
    cluster, row = await stage.clusters.of("server-000"), snapshot.deployments[0]
    cluster.stuck_pods.add("d1")
    assert await executor.ender.end(row, Terminate("d1", Evidence.OPERATOR)) is EndingResult.WAITING
    assert await results(stage, snapshot, DrainServer("server-000")) == ["waiting"]
    cluster.stuck_pods.clear()
    await executor.recover()
    assert await results(stage, snapshot, DrainServer("server-000")) == ["ignored"], "no handler is set here"


async def test_a_swap_that_is_given_up_keeps_its_launch_config_for_the_next_launch(stage: Stage) -> None:
    executor, snapshot = await launched(stage)
    await stage.add_chute(1, gpu_count=2)
    (await stage.clusters.of("server-000")).stuck_pods.add("d1")
    launch = replace(LAUNCH, chute_id="chute-001")
    executor.submit((Swap(("d1",), launch),), snapshot)
    await drain(executor)
    asked = [name for name, _ in stage.validator.calls].count("launch_config")
    await executor.launcher.launch(replace(order("d2", gpus=(2, 3)), intent=launch))
    assert await stage.count("deployments", "deployment_id = 'd2' AND NOT stub") == 1
    assert [name for name, _ in stage.validator.calls].count("launch_config") == asked
    await executor.launcher.launch(replace(order("d3", gpus=(4, 5)), intent=launch))
    assert [name for name, _ in stage.validator.calls].count("launch_config") == asked + 1, "it serves once"


async def test_a_swap_onto_a_gpu_that_somebody_else_holds_ends_nothing_and_asks_for_nothing(stage: Stage) -> None:
    executor, snapshot = await launched(stage)
    await executor.launcher.launch(order("d2", gpus=(2,)))  # since the snapshot
    await stage.add_chute(1, gpu_count=3)
    stage.validator.calls.clear()
    swap = Swap(("d1",), replace(LAUNCH, chute_id="chute-001", gpu_mask=0b111))
    assert await results(stage, snapshot, swap) == ["vetoed"]
    assert stage.validator.calls == []
    assert await stage.count("deployments") == 2
