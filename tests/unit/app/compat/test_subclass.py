"""Files in the public program's style: every hook is called, and none can do more than a strategy may (24.7 B 2)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from app.compat.strategy import Gepetto
from app.gepetto.decision.configuration import Configuration, WarmUpConfiguration
from app.gepetto.decision.decide import decide
from app.gepetto.decision.intents import Evidence, Intent, Launch, Terminate
from app.gepetto.decision.memory import Memory
from app.gepetto.files.recognise import UPSTREAM_HOOKS
from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import ChuteView, DeploymentView, JobView, Order, OrderKind, ServerView
from tests.support.gepetto import NOW, make_chute, make_deployment, make_server, make_snapshot

QUIET = Configuration(warm_up=WarmUpConfiguration(enabled=False))
SERVER = make_server(free_mask=0xFE)
ROW = make_deployment("d", SERVER, make_chute(), 1)
JOB = JobView("job", "chute-000", 1, 1.0, NOW)
WORLD = make_snapshot((SERVER, make_server(1)), (make_chute(), make_chute(1)), (ROW,))


class Told(Gepetto):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.news: list[tuple[str, str]] = []

    async def chute_updated(self, chute: ChuteView) -> None:
        self.news.append(("chute_updated", chute.version))

    def rolling_update(self, deployment: DeploymentView) -> None:
        self.news.append(("rolling_update", deployment.id))

    def server_deleted(self, server: ServerView) -> None:
        self.news.append(("server_deleted", server.id))

    def gpu_deleted(self, gpu_id: str) -> None:
        self.news.append(("gpu_deleted", gpu_id))


def run(gepetto: Gepetto, *worlds: Snapshot) -> tuple[Intent, ...]:
    """The last of some decisions in a row, with one memory."""
    strategy, memory = gepetto.as_strategy(), Memory()
    intents: tuple[Intent, ...] = ()
    for world in worlds:
        intents, memory = decide(world, QUIET, memory, strategy)
    return intents


def launches(intents: tuple[Intent, ...]) -> list[Launch]:
    return [intent for intent in intents if isinstance(intent, Launch)]


def test_every_hook_of_the_table_is_a_method_of_the_base() -> None:
    assert [name for name in UPSTREAM_HOOKS if not callable(getattr(Gepetto, name, None))] == []


def test_a_file_that_replaces_nothing_decides_as_the_default() -> None:
    assert run(Gepetto(), WORLD) == decide(WORLD, QUIET, Memory())[0]


def test_news_are_told_once_and_the_first_look_is_none() -> None:
    told = Told()
    lost = SERVER.gpu_ids[7]
    later = replace(
        WORLD,
        chutes=(make_chute(version="2"), make_chute(1), make_chute(2)),
        servers=(replace(SERVER, gpu_total=7, gpu_ids=SERVER.gpu_ids[:7], free_mask=0x7E), make_server(1)),
        orders=(
            Order(OrderKind.ROLLING_UPDATE, ROW.instance_id or "", NOW),
            Order(OrderKind.SERVER_DELETED, "server-001", NOW),
            Order(OrderKind.SERVER_DELETED, "unknown", NOW),
        ),
    )
    run(told, WORLD)
    assert told.news == []
    run(told, WORLD, later, later)
    assert told.news == [
        ("chute_updated", "2"), ("gpu_deleted", lost), ("rolling_update", "d"), ("server_deleted", "server-001"),
    ]  # fmt: skip


def test_autoscale_plans_the_launches_and_none_means_the_default() -> None:
    class Own(Gepetto):
        def _autoscale(self) -> list[Launch] | None:
            return [self.ctx.fleet.launch(1, 1, "mine")]

    class Asks(Gepetto):
        async def _autoscale(self) -> list[Launch] | None:  # type: ignore[override]
            return None

    assert [launch.reason for launch in launches(run(Own(), WORLD))] == ["mine"]
    assert launches(run(Asks(), WORLD)) == launches(run(Gepetto(), WORLD))


def test_what_is_no_list_of_launches_is_a_fault_that_names_the_hook() -> None:
    class Wrong(Gepetto):
        def _autoscale(self) -> list[Launch] | None:
            return ["launch"]  # type: ignore[list-item]

    with pytest.raises(TypeError, match="_autoscale gives a list of Launch"):
        run(Wrong(), WORLD)


def test_reconcile_speaks_for_the_file_alone_whatever_evidence_it_claims() -> None:
    class Own(Gepetto):
        def reconcile(self) -> list[Terminate]:
            return [Terminate("d", Evidence.VALIDATOR_ENDED, "I say so")]

    wanted = [intent for intent in run(Own(), WORLD) if isinstance(intent, Terminate)]
    assert [(item.evidence, item.reason) for item in wanted] == [(Evidence.STRATEGY, "I say so")]


def test_a_job_is_run_where_the_file_agrees() -> None:
    class Picky(Gepetto):
        def run_job(self, chute: ChuteView, job: JobView, server: ServerView) -> bool:
            return (chute.id, job.id, server.id) == ("chute-000", "job", "nowhere")

    world = replace(WORLD, jobs=(JOB,))
    assert [launch.job_id for launch in launches(run(Gepetto(), world)) if launch.job_id] == ["job"]
    assert not [launch for launch in launches(run(Picky(), world)) if launch.job_id]
    full = replace(world, servers=(replace(SERVER, free_mask=0), make_server(1, free_mask=0)))
    assert not launches(run(Picky(), full))


def test_scale_down_and_victims_are_asked_of_the_file() -> None:
    class Own(Gepetto):
        def optimal_scale_down_deployment(self, chute: ChuteView) -> DeploymentView | None:
            return ROW if chute.id == "chute-000" else None

    wanted = [intent for intent in run(Own(), WORLD) if isinstance(intent, Terminate)]
    assert [item.deployment_id for item in wanted] == ["d"]


def test_an_async_hook_that_waits_is_a_fault() -> None:
    class Waits(Gepetto):
        async def job_created(self, job: JobView) -> bool:  # type: ignore[override]

            await asyncio.sleep(0)
            return True

    with pytest.raises(TypeError, match="must not wait"):
        run(Waits(), replace(WORLD, jobs=(JOB,)))


def test_bounties_and_new_chutes_are_asked_for() -> None:
    class Never(Gepetto):
        def bounty_changed(self, chute: ChuteView) -> bool:
            return False

        def chute_created(self, chute: ChuteView) -> bool:
            return False

    world = replace(WORLD, chutes=(make_chute(bounty=True), make_chute(1)), deployments=())
    assert launches(run(Gepetto(), world)) != []
    assert launches(run(Never(), world)) == []
