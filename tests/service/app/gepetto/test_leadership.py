"""Who leads, and that nobody else acts, on a real PostgreSQL (spec: gepetto 24.1; rule 27.19)."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from app.gepetto.decision.intents import Evidence, Terminate
from app.gepetto.execution.ending import Ender
from app.gepetto.execution.executor import Executor
from app.gepetto.execution.fence import DeposedError, Fence
from app.gepetto.execution.fenced import FencedClusters, FencedValidator
from app.gepetto.execution.launch import Launcher
from app.gepetto.execution.leader import Leadership
from app.gepetto.execution.limits import TokenBucket
from app.gepetto.execution.store import Store
from app.gepetto.kubernetes.plan import PodSettings
from app.storage.engine import create_engine
from tests.service.app.gepetto.conftest import Stage
from tests.support.gepetto import HOTKEY, VALIDATOR
from tests.support.gepetto_stage import launched, order
from tests.support.waiting import until

pytestmark = pytest.mark.service


async def test_27_19_one_of_two_replicas_leads_and_the_other_takes_over_in_time(
    stage: Stage, database_url: str
) -> None:
    leading: list[str] = []
    taken_over = asyncio.Event()

    async def work(name: str) -> None:
        leading.append(name)
        if name == "second":
            taken_over.set()
        await asyncio.sleep(60)

    engines = [create_engine(database_url), create_engine(database_url)]
    first = asyncio.create_task(Leadership(engines[0], retry_seconds=0.1).lead(lambda: work("first")))
    await asyncio.sleep(0.5)
    second = asyncio.create_task(Leadership(engines[1], retry_seconds=0.1).lead(lambda: work("second")))
    await asyncio.sleep(0.5)
    assert leading == ["first"]
    async with stage.engine.begin() as connection:  # the server ends the leader's session, as a crash would
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            )
        )
    async with asyncio.timeout(15):
        await taken_over.wait()
    first.cancel()
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    for engine in engines:
        await engine.dispose()


async def test_the_lock_is_kept_until_the_work_has_ended(stage: Stage, database_url: str) -> None:
    """Work that needs time to put its things in order, and a second process that wants to lead meanwhile."""
    events: list[str] = []
    let_go, second_leads = asyncio.Event(), asyncio.Event()
    started, told = asyncio.Event(), asyncio.Event()

    async def first_work() -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            told.set()
            while not let_go.is_set():
                try:
                    await let_go.wait()
                except asyncio.CancelledError:
                    continue
            events.append("first ended")

    async def second_work() -> None:
        events.append("second leads")
        second_leads.set()

    other = create_engine(database_url)
    first = asyncio.create_task(Leadership(stage.engine, retry_seconds=0.1).lead(first_work))
    async with asyncio.timeout(20):
        await started.wait()
        second = asyncio.create_task(Leadership(other, retry_seconds=0.05).lead(second_work))
        first.cancel()
        await told.wait()
        first.cancel()  # told twice: still not before the work has ended
        await asyncio.sleep(6)  # longer than the work was given before
        assert events == []
        let_go.set()
        await second_leads.wait()
        await asyncio.gather(first, second, return_exceptions=True)
    assert first.cancelled()
    assert events == ["first ended", "second leads"]
    await other.dispose()


def fenced(stage: Stage) -> tuple[Executor, Fence]:
    """An executor of a process of its own, with the fence that the program gives it."""
    fence = Fence(stage.engine)
    store, clusters = Store(stage.engine, fence), FencedClusters(stage.clusters, fence)
    validators = {VALIDATOR: FencedValidator(stage.validator, fence)}
    executor = Executor(
        launcher=Launcher(store, clusters, validators, PodSettings(miner_ss58=HOTKEY)),
        ender=Ender(store, clusters, validators, wait_seconds=0.2, poll_seconds=0.02),
        bucket=TokenBucket(1000, 1000, lambda: 0.0),
        new_id=lambda: "d2",
    )
    return executor, fence


async def test_a_former_leader_ends_nothing_and_launches_nothing(stage: Stage) -> None:
    _, snapshot = await launched(stage)
    (old, old_fence), (new, new_fence) = fenced(stage), fenced(stage)
    with pytest.raises(DeposedError):
        await old.launcher.launch(order("d2", gpus=(2, 3)))  # it never led
    assert await old_fence.take_over() < await new_fence.take_over()
    stage.validator.calls.clear()
    row, cluster = snapshot.deployments[0], await stage.clusters.of("server-000")
    cluster.events.clear()
    with pytest.raises(DeposedError):
        await old.ender.end(row, Terminate("d1", Evidence.OPERATOR))
    with pytest.raises(DeposedError):
        await old.launcher.launch(order("d2", gpus=(2, 3)))
    assert stage.validator.calls == []
    assert [event for event in cluster.events if event.startswith(("create", "delete"))] == []
    assert await stage.count("gepetto_journal", "done_at IS NULL") == 0
    assert (await new.ender.end(row, Terminate("d1", Evidence.OPERATOR))).is_done
    assert await stage.is_clean()


async def test_a_leader_that_is_deposed_in_the_middle_of_a_launch_creates_no_job(stage: Stage) -> None:
    await stage.add_server()
    await stage.add_chute(gpu_count=2)
    (old, old_fence), (_, new_fence) = fenced(stage), fenced(stage)
    await old_fence.take_over()
    stage.validator.token_delay_seconds = 0.3
    task = asyncio.create_task(old.launcher.launch(order("d2")))
    async with asyncio.timeout(10):
        await until(lambda: stage.count("gepetto_journal", "step = 'reserved'"))
        await new_fence.take_over()
        with pytest.raises(DeposedError):
            await task
    assert (await stage.clusters.of("server-000")).jobs == {}
    assert await stage.count("gepetto_journal", "done_at IS NULL AND step = 'reserved'") == 1, "its successor finds it"


async def test_a_write_that_meets_a_take_over_under_way_waits_for_it_and_writes_nothing(stage: Stage) -> None:
    """The fence rides in the write's own statement: it must lock the epoch before anything is written."""
    await stage.add_server()
    await stage.add_chute(gpu_count=2)
    old, fence = fenced(stage)
    await fence.take_over()
    asked = order("d2")
    async with stage.engine.begin() as other:
        await other.execute(text("UPDATE gepetto_leader SET epoch = epoch + 1"))
        task = asyncio.create_task(
            old.launcher.store.reserve("d2", asked.intent.chute_id, "1", asked.intent.server_id, asked.gpu_ids, None)
        )
        done, _ = await asyncio.wait({task}, timeout=0.5)
        assert not done, "it waits for the other's transaction"
    async with asyncio.timeout(10):
        with pytest.raises(DeposedError):
            await task
    assert await stage.count("gepetto_journal") == 0
    assert await stage.count("deployments") == 0


async def test_work_that_meets_a_later_leader_is_taken_up_again_by_contest(stage: Stage) -> None:
    """The errors of task groups come as groups: neither an outage nor the end of a reign ends the process."""
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)
        if len(runs) == 3:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(DeposedError("as told") if len(runs) == 1 else OSError("the database is away")))

    async def fail(error: Exception) -> None:
        raise error

    async with asyncio.timeout(20):
        await Leadership(stage.engine, retry_seconds=0.01).lead(work)
    assert len(runs) == 3
    with pytest.raises(ExceptionGroup, match="unhandled"):
        await Leadership(stage.engine, retry_seconds=0.01).lead(broken)


async def broken() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(stop())


async def stop() -> None:
    raise KeyError("a fault of our own")
