"""Rules 2, 3, 7, 10, 16 and 19 of the behaviour checklist on a real PostgreSQL (spec: gepetto 27)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text

from app.gepetto.decision.intents import (
    Evidence,
    ForgetInstance,
    Launch,
    NoOp,
    RecordInstance,
    RemoveOrphan,
    Swap,
    Terminate,
)
from app.gepetto.execution.ending import EndingResult
from app.gepetto.execution.launch import LaunchResult
from app.gepetto.execution.records import record_instance
from app.gepetto.ingest.rows import read_rows
from app.gepetto.world.views import DeploymentState, InstanceView
from app.storage.journal import JournalKind, JournalStep
from tests.service.app.gepetto.conftest import Stage
from tests.support.gepetto import VALIDATOR
from tests.support.gepetto_stage import drain, launched, order, prepared

pytestmark = pytest.mark.service


async def test_27_02_a_launch_claims_its_gpus_and_creates_both_objects(stage: Stage) -> None:
    executor = await prepared(stage)
    outcome = await executor.launcher.launch(order())
    assert outcome.result is LaunchResult.LAUNCHED
    (row,) = (await read_rows(stage.engine)).deployments
    assert (row.stub, row.config_id, row.draining) == (False, "config-1", False)
    assert await stage.count("gpus", "deployment_id = 'd1'") == 2
    cluster = await stage.clusters.of("server-000")
    assert set(cluster.jobs) == {"chute-d1"}
    assert await stage.count("gepetto_journal", "step = 'launched' AND done_at IS NOT NULL") == 1
    assert await stage.count("gepetto_journal", "detail LIKE '%made-up%'") == 0


async def test_27_02_of_concurrent_launches_on_the_same_gpus_one_wins_and_the_others_leave_nothing(
    stage: Stage,
) -> None:
    executor = await prepared(stage)
    outcomes = await asyncio.gather(*(executor.launcher.launch(order(f"d{i}")) for i in range(6)))
    results = [outcome.result for outcome in outcomes]
    assert results.count(LaunchResult.LAUNCHED) == 1
    assert results.count(LaunchResult.GPUS_TAKEN) == 5
    assert await stage.count("deployments") == 1
    assert await stage.count("gepetto_journal", "done_at IS NULL") == 0


async def test_a_launch_tells_the_cleaner_which_other_chutes_run_or_start_on_its_server(stage: Stage) -> None:
    executor = await prepared(stage)
    await stage.add_server(1)
    for number in (1, 2, 3, 4):
        await stage.add_chute(number)
    for row, (number, server, gpu) in enumerate([(4, 0, 7), (1, 0, 6), (2, 1, 0), (1, 0, 5)]):
        gpu_ids = (f"{server:04x}{gpu:028x}",)
        assert await stage.store.reserve(f"r{row}", f"chute-{number:03}", "1", f"server-{server:03}", gpu_ids, None)
    await executor.launcher.launch(order("d1"))
    await executor.launcher.launch(order("d2", gpus=(2, 3)))
    for name in ("chute-d1", "chute-d2"):
        job = (await stage.clusters.of("server-000")).jobs[name]
        (cleaner,) = job["spec"]["template"]["spec"]["initContainers"]  # type: ignore[index]
        told = {entry["name"]: entry["value"] for entry in cleaner["env"]}
        assert told["CLEANUP_EXCLUDE"] == "chute-000"
        assert told["CLEANUP_PROTECT"] == "chute-001,chute-004", "a second copy is excluded already"
    await executor.launcher.launch(order("d3", gpus=(1, 2), server=1))
    job = (await stage.clusters.of("server-001")).jobs["chute-d3"]
    assert "'CLEANUP_PROTECT', 'value': 'chute-002'" in str(job)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 423, 500])
async def test_27_03_a_refused_token_leaves_nothing_and_is_remembered(stage: Stage, status: int) -> None:
    executor = await prepared(stage)
    stage.validator.refuse_with = status
    outcome = await executor.launcher.launch(order())
    assert (outcome.result, outcome.status) == (LaunchResult.REFUSED, status)
    assert await stage.is_clean()
    assert await stage.count("gepetto_failures", "server_id = '*' AND until > now()") == 1


async def test_27_04_a_chute_too_old_for_launch_configs_is_left_alone_for_half_an_hour(stage: Stage) -> None:
    """Announce and activate are not built: no living chute is that old, and the validator answers 400 for it."""
    executor = await prepared(stage)
    stage.validator.refuse_with = 400
    assert (await executor.launcher.launch(order())).status == 400
    assert await stage.is_clean()
    assert await stage.count("gepetto_failures", "until BETWEEN now() + '29 min' AND now() + '31 min'") == 1


async def test_27_14_activity_is_copied_both_ways_and_the_first_activation_stays(stage: Stage) -> None:
    _, snapshot = await launched(stage)
    async with stage.engine.begin() as connection:
        await connection.execute(text("UPDATE deployments SET activated_at = '2026-01-01', config_id = 'config-1'"))
    for was, now in ((True, False), (False, True)):
        row = replace(snapshot.deployments[0], state=DeploymentState.ACTIVE if was else DeploymentState.VERIFIED)
        seen = replace(snapshot, deployments=(row,))
        intent = RecordInstance("d1", "i1", active=now, verified=True)
        assert await record_instance(stage.engine, intent, seen) == "recorded"
        wanted = f"active = {now} AND activated_at = '2026-01-01' AND verified_at IS NOT NULL"
        assert await stage.count("deployments", wanted) == 1
    for useless in (RecordInstance("unknown", "i", active=True, verified=True), NoOp("nothing")):
        assert await record_instance(stage.engine, useless, snapshot) == "ignored"


async def test_capacity_refusals_pause_minutes_at_most_and_a_permit_forgets_them(stage: Stage) -> None:
    executor = await prepared(stage)
    stage.validator.refuse_with = 423
    for number in range(6):
        await executor.launcher.launch(order(f"r{number}"))
    assert await stage.count("gepetto_failures", "count = 6 AND until < now() + '121 s'") == 1
    stage.validator.refuse_with = None
    await executor.launcher.launch(order("d1"))
    assert await stage.count("gepetto_failures") == 0


async def test_failures_far_apart_are_no_row(stage: Stage) -> None:
    await prepared(stage)
    for _ in range(3):
        await stage.store.remember_failure("chute-000", "server-000", "as told", 120.0)
    assert await stage.count("gepetto_failures", "count = 3 AND until > now() + '400 s'") == 1
    async with stage.engine.begin() as connection:
        await connection.execute(text("UPDATE gepetto_failures SET until = now() - interval '2 hours'"))
    await stage.store.remember_failure("chute-000", "server-000", "as told", 120.0)
    assert await stage.count("gepetto_failures", "count = 1 AND until < now() + '121 s'") == 1


async def test_what_ended_long_ago_is_dropped_and_the_rest_stays(stage: Stage) -> None:
    executor = await prepared(stage)
    await executor.launcher.launch(order())
    await stage.store.prune()
    assert await stage.count("gepetto_journal") == 1
    async with stage.engine.begin() as connection:
        await connection.execute(text("UPDATE gepetto_journal SET done_at = now() - interval '31 days'"))
    await stage.store.prune()
    assert await stage.count("gepetto_journal") == 0


@pytest.mark.parametrize(("hours", "remembered"), [(0.5, 1), (2.0, 0)])
async def test_a_copy_that_dies_unpaid_keeps_its_chute_off_that_server_for_a_while(
    stage: Stage, hours: float, remembered: int
) -> None:
    executor, snapshot = await launched(stage)
    row = replace(snapshot.deployments[0], activated_at=executor.ender.clock() - hours * 3600)
    await executor.ender.end(row, Terminate("d1", Evidence.POD_FINISHED, "its pod has ended"))
    assert await stage.count("gepetto_failures", "server_id = 'server-000'") == remembered


async def test_27_03_a_validator_that_does_not_answer_leaves_nothing(stage: Stage) -> None:
    executor = await prepared(stage)
    stage.validator.is_down = True
    assert (await executor.launcher.launch(order())).result is LaunchResult.REFUSED
    assert await stage.is_clean()


@pytest.mark.parametrize("step", ["create_service", "create_job", "create_service:down", "create_job:down"])
async def test_27_03_a_failure_in_the_cluster_leaves_nothing_and_is_remembered(stage: Stage, step: str) -> None:
    executor = await prepared(stage)
    (await stage.clusters.of("server-000")).fail_at = step
    assert (await executor.launcher.launch(order())).result is LaunchResult.FAILED
    assert await stage.is_clean()
    assert await stage.count("gepetto_failures", "server_id = 'server-000'") == 1


async def test_27_03_a_service_that_is_swept_before_its_job_exists_fails_the_launch(stage: Stage) -> None:
    executor = await prepared(stage)
    (await stage.clusters.of("server-000")).lose_services = True
    assert (await executor.launcher.launch(order())).result is LaunchResult.FAILED
    assert await stage.is_clean()


async def test_27_03_a_row_that_disappears_in_flight_leaves_nothing(stage: Stage) -> None:
    executor = await prepared(stage)
    stage.validator.token_delay_seconds = 0.1
    task = asyncio.create_task(executor.launcher.launch(order()))
    await asyncio.sleep(0.05)
    async with stage.engine.begin() as connection:
        await connection.execute(text("DELETE FROM deployments"))
    assert (await task).result is LaunchResult.FAILED
    assert await stage.is_clean()


async def test_27_03_gpus_stay_claimed_when_the_cluster_dies_in_the_middle_until_it_answers_again(stage: Stage) -> None:
    executor = await prepared(stage)
    cluster = await stage.clusters.of("server-000")
    cluster.is_down = True
    assert (await executor.launcher.launch(order())).result is LaunchResult.FAILED
    assert await stage.count("gpus", "deployment_id = 'd1'") == 2
    cluster.is_down = False
    assert await stage.restart().recover() == {"launch rolled back": 1}
    assert await stage.is_clean()


async def test_27_07_a_lost_job_race_releases_local_resources_and_keeps_no_refusal_of_the_chute(stage: Stage) -> None:
    executor = await prepared(stage)
    stage.validator.refuse_with = 409
    assert (await executor.launcher.launch(order(job="job-1"))).result is LaunchResult.REFUSED
    assert await stage.is_clean()
    assert await stage.count("gepetto_failures") == 0


async def test_27_07_a_job_that_cannot_run_is_given_back_to_the_validator(stage: Stage) -> None:
    executor = await prepared(stage)
    (await stage.clusters.of("server-000")).fail_at = "create_job"
    await executor.launcher.launch(order(job="job-1"))
    assert ("release_job", "job-1") in stage.validator.calls


async def test_27_16_an_ending_deletes_the_instance_first_and_frees_gpus_last(stage: Stage) -> None:
    executor, snapshot = await launched(stage)
    cluster = await stage.clusters.of("server-000")
    cluster.events.clear()
    stage.validator.calls.clear()
    row = snapshot.deployments[0]
    assert await executor.ender.end(row, Terminate("d1", Evidence.OPERATOR)) is EndingResult.DONE
    assert stage.validator.calls == [("delete_instance", "i1")]
    assert cluster.events[-2:] == ["delete_deployment", "has_pods"]
    assert await stage.is_clean()


async def test_27_16_gpus_stay_reserved_until_the_pod_is_gone_and_a_second_call_is_a_no_op(stage: Stage) -> None:
    executor, snapshot = await launched(stage)
    cluster = await stage.clusters.of("server-000")
    cluster.stuck_pods.add("d1")
    row = snapshot.deployments[0]
    assert await executor.ender.end(row, Terminate("d1", Evidence.OPERATOR)) is EndingResult.WAITING
    assert await stage.count("gpus", "deployment_id = 'd1'") == 2
    assert (await read_rows(stage.engine)).deployments[0].draining
    assert await executor.ender.end(row, Terminate("d1", Evidence.OPERATOR)) is EndingResult.ALREADY
    cluster.stuck_pods.clear()
    assert await executor.recover() == {"ending done": 1}
    assert await stage.is_clean()


async def test_27_16_an_absence_is_only_believed_when_the_live_source_confirms_it(stage: Stage) -> None:
    executor, snapshot = await launched(stage)
    row = snapshot.deployments[0]
    for evidence in (Evidence.ABSENT_POD, Evidence.ABSENT_INSTANCE):
        assert await executor.ender.end(row, Terminate("d1", evidence)) is EndingResult.UNFOUNDED
    (await stage.clusters.of("server-000")).is_down = True
    assert await executor.ender.end(row, Terminate("d1", Evidence.ABSENT_POD)) is EndingResult.VETOED
    assert await stage.count("deployments") == 1
    (await stage.clusters.of("server-000")).is_down = False
    stage.validator.gone.add("i1")
    assert await executor.ender.end(row, Terminate("d1", Evidence.ABSENT_INSTANCE)) is EndingResult.DONE
    assert await stage.is_clean()


async def test_27_16_orphans_are_removed_and_rows_that_appear_meanwhile_are_not(stage: Stage) -> None:
    executor, snapshot = await launched(stage)
    assert await executor.orphans.remove_objects(RemoveOrphan("d1", "server-000")) is EndingResult.UNFOUNDED
    async with stage.engine.begin() as connection:
        await connection.execute(text("DELETE FROM deployments"))
    assert await executor.orphans.remove_objects(RemoveOrphan("d1", "server-000")) is EndingResult.DONE
    assert (await stage.clusters.of("server-000")).jobs == {}
    found = InstanceView("i9", "chute-000", "config-9", 0.0, validator=VALIDATOR)
    snapshot = replace(snapshot, instances=(found,))
    executor.submit((ForgetInstance("i9", "chute-000"),), snapshot)
    await drain(executor)
    assert ("delete_instance", "i9") in stage.validator.calls


async def test_27_10_a_swap_gets_its_token_first_and_then_replaces_its_victim(stage: Stage) -> None:
    executor, snapshot = await launched(stage)
    await stage.add_chute(1, gpu_count=2)
    stage.validator.calls.clear()
    swap = Swap(("d1",), Launch("chute-001", "1", "server-000", 0b11))
    executor.submit((swap, swap), snapshot)
    await drain(executor)
    assert [name for name, _ in stage.validator.calls] == ["launch_config", "delete_instance"]
    (row,) = (await read_rows(stage.engine)).deployments
    assert row.chute_id == "chute-001"


@pytest.mark.parametrize("fault", ["refused", "cluster down"])
async def test_27_10_a_swap_that_is_refused_or_vetoed_ends_nothing(stage: Stage, fault: str) -> None:
    executor, snapshot = await launched(stage)
    await stage.add_chute(1, gpu_count=2)
    stage.validator.refuse_with = 423 if fault == "refused" else None
    (await stage.clusters.of("server-000")).is_down = fault == "cluster down"
    executor.submit((Swap(("d1",), Launch("chute-001", "1", "server-000", 0b11)),), snapshot)
    await drain(executor)
    (row,) = (await read_rows(stage.engine)).deployments
    assert (row.deployment_id, row.draining) == ("d1", False)


class Killed(BaseException):
    """Stands for the end of the process at this very point."""


@pytest.mark.parametrize("step", ["permit", "step", "launched"])
async def test_27_19_a_launch_killed_before_each_journal_step_is_resumed_or_rolled_back(
    stage: Stage, step: str
) -> None:
    executor = await prepared(stage)

    async def die(*_: object) -> bool:
        raise Killed

    setattr(executor.launcher.store, step, die)
    with pytest.raises(Killed):
        await executor.launcher.launch(order())
    delattr(executor.launcher.store, step)
    counts = await stage.restart().recover()
    if step == "launched":  # Service and Job exist, and the pod has its token: it goes on
        assert counts == {"launch resumed": 1}
        assert await stage.count("deployments", "NOT stub AND port IS NOT NULL") == 1
    else:
        assert counts == {"launch rolled back": 1}
        assert await stage.is_clean()
    assert await stage.restart().recover() == {}


async def test_27_19_an_ending_killed_in_the_middle_is_finished(stage: Stage) -> None:
    executor, _ = await launched(stage)
    await executor.launcher.store.drain("d1", Evidence.OPERATOR.value, "")
    assert await stage.restart().recover() == {"ending done": 1}
    assert await stage.is_clean()


async def test_rows_are_read_in_one_query_with_masks_in_device_order(stage: Stage) -> None:
    await prepared(stage)
    rows = await read_rows(stage.engine)
    assert [gpu for gpu, *_ in rows.servers[0].gpus] == [f"{0:04x}{gpu:028x}" for gpu in range(8)]
    assert rows.servers[0].validator == VALIDATOR
    assert DeploymentState.RESERVED.value == "reserved"
    assert await stage.store.step("unknown", JournalKind.LAUNCH, JournalStep.SERVICE) is False
