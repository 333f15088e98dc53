"""A fault or a hanging server concerns its own work alone: the others' goes on (spec: gepetto 24.10; rule 27.19)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from app.gepetto.decision.intents import Evidence, Launch, Terminate
from app.gepetto.execution.executor import Executor
from app.gepetto.execution.launch import LaunchResult
from app.gepetto.kubernetes.reading import at
from app.gepetto.metrics import Metrics
from tests.service.app.gepetto.conftest import Stage
from tests.support.gepetto import make_chute, make_server, make_snapshot
from tests.support.gepetto_stage import LAUNCH, drain, launched, order, prepared
from tests.support.waiting import until

pytestmark = pytest.mark.service


async def gone(stage: Stage, deployment_id: str) -> bool:
    return await stage.count("deployments", f"deployment_id = '{deployment_id}'") == 0


async def two_servers(stage: Stage) -> Executor:
    for number in range(2):
        await stage.add_server(number)
    await stage.add_chute(gpu_count=2)
    return stage.restart()


@pytest.mark.parametrize("error", [IntegrityError("as told", None, Exception()), StopIteration(), RuntimeError()])
async def test_a_fault_of_one_servers_launch_is_told_and_the_other_server_is_launched_on(
    stage: Stage, error: Exception
) -> None:
    executor = await two_servers(stage)
    metrics, ended = Metrics(), list[str]()
    executor.fault = metrics.fault
    executor.report = lambda intent, result: ended.append(f"{intent.key.split(':')[2]} {result}")
    store, reserve = executor.launcher.store, executor.launcher.store.reserve

    async def broken(
        deployment_id: str, chute_id: str, version: str, server_id: str, *rest: object
    ) -> Mapping[str, object] | None:
        if server_id == "server-000":
            raise error
        return await reserve(deployment_id, chute_id, version, server_id, *rest)  # type: ignore[arg-type]

    store.reserve = broken  # type: ignore[method-assign, assignment]
    snapshot = make_snapshot((make_server(0), make_server(1)), (make_chute(gpu_count=2),))
    launches = (LAUNCH, replace(LAUNCH, server_id="server-001"))
    assert executor.submit(launches, snapshot) == 2
    await drain(executor)
    assert "server-001 launched" in ended
    assert any(line.startswith("server-000 error: ") for line in ended)
    assert await stage.count("deployments", "server_id = 'server-001' AND NOT stub") == 1
    assert await stage.count("gepetto_failures", "server_id = 'server-000' AND until > now()") == 1
    (sample,) = (s for m in metrics.faults.collect() for s in m.samples if s.name.endswith("_total"))
    assert (sample.labels["work"], sample.value) == ("Launch", 1.0)
    assert executor.submit(launches, snapshot) == 1, "the faulty one is left alone for a while"


async def test_a_launch_on_a_server_that_the_snapshot_does_not_know_is_no_fault(stage: Stage) -> None:
    executor = await prepared(stage)
    ended: list[str] = []
    executor.report = lambda _, result: ended.append(result)
    executor.submit((Launch("chute-000", "1", "server-009", 1),), make_snapshot((make_server(0),), (make_chute(),)))
    await drain(executor)
    assert ended == ["gone"]


async def test_whoever_is_told_of_an_end_cannot_stop_the_work(stage: Stage) -> None:
    executor, snapshot = await launched(stage)

    def fail(*_: object) -> None:
        raise KeyError("as told")

    executor.report = fail
    executor.submit((Terminate("d1", Evidence.OPERATOR),), snapshot)
    await drain(executor)
    assert await stage.is_clean()


async def test_a_server_that_hangs_holds_back_neither_the_others_recovery_nor_new_work(stage: Stage) -> None:
    executor = await two_servers(stage)
    for number in range(2):
        await executor.launcher.launch(order(f"d{number}", server=number))
        await executor.launcher.store.drain(f"d{number}", Evidence.OPERATOR.value, "")
    (await stage.clusters.of("server-000")).hangs = True
    later = stage.restart()
    recovering = asyncio.create_task(later.recovery.run(0.05))
    async with asyncio.timeout(20):
        await until(lambda: gone(stage, "d1"))
        assert (await later.launcher.launch(order("d2", gpus=(4, 5)))).result is LaunchResult.LAUNCHED
    assert await stage.count("deployments", "deployment_id = 'd0'") == 1
    recovering.cancel()
    await asyncio.gather(recovering, return_exceptions=True)


async def test_a_roll_back_whose_job_still_terminates_is_finished_once_the_job_is_gone(stage: Stage) -> None:
    executor = await prepared(stage)
    cluster = await stage.clusters.of("server-000")
    cluster.lose_services = True
    cluster.stuck_pods.add("d1")
    assert (await executor.launcher.launch(order())).result is LaunchResult.FAILED
    assert await stage.count("gpus", "deployment_id = 'd1'") == 2
    recovering = asyncio.create_task(executor.recovery.run(0.05))
    await until(lambda: cluster.events.count("has_pods") >= 4)
    assert await stage.count("gpus", "deployment_id = 'd1'") == 2, "its pod may still hold them"
    cluster.stuck_pods.clear()
    await until(stage.is_clean)
    recovering.cancel()
    await asyncio.gather(recovering, return_exceptions=True)


async def test_a_failed_launch_whose_objects_could_not_be_deleted_is_rolled_back_and_not_resumed(stage: Stage) -> None:
    """Both objects are there and its step was `service`: it looks like one that may go on, and has failed."""
    executor = await prepared(stage)
    cluster, store = await stage.clusters.of("server-000"), executor.launcher.store

    async def unknown(*_: object) -> bool:
        cluster.fail_at = "delete_deployment:down"
        return False

    store.launched = unknown  # type: ignore[method-assign, assignment]
    assert (await executor.launcher.launch(order())).result is LaunchResult.FAILED
    del store.launched
    cluster.fail_at = ""
    assert await stage.restart().recover() == {"launch rolled back": 1}
    assert await stage.is_clean()


async def test_a_launch_under_way_is_not_taken_for_one_that_was_left(stage: Stage) -> None:
    executor = await prepared(stage)
    stage.validator.token_delay_seconds = 0.2
    launching = asyncio.create_task(executor.launcher.launch(order()))
    async with asyncio.timeout(10):
        await until(lambda: stage.count("gepetto_journal"))
        assert await executor.recover() == {"busy": 1}
        assert (await launching).result is LaunchResult.LAUNCHED
    assert await executor.recover() == {}
    (job,) = (await stage.clusters.of("server-000")).jobs.values()
    assert at(job, "metadata", "name") == "chute-d1"


async def test_a_jobs_launch_that_is_rolled_back_after_a_restart_gives_the_job_back(stage: Stage) -> None:
    executor = await prepared(stage)
    await executor.launcher.store.reserve("d1", "chute-000", "1", "server-000", order().gpu_ids, "job-1")
    assert await stage.restart().recover() == {"launch rolled back": 1}
    assert ("release_job", "job-1") in stage.validator.calls
    assert await stage.is_clean()
