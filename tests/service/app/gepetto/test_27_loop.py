"""The whole loop on a real PostgreSQL: feeds, events, decisions, launches, explanation (spec: gepetto 24)."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import httpx
import orjson
import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from app.gepetto.configured import ConfigurationFile
from app.gepetto.deciders import BuiltIn
from app.gepetto.decision.configuration import Configuration, PlacementConfiguration, WarmUpConfiguration
from app.gepetto.decision.intents import Launch, Terminate
from app.gepetto.execution.limits import TokenBucket
from app.gepetto.http import Surface, create_app
from app.gepetto.ingest.clusters import CachedClusters, LiveClusters
from app.gepetto.ingest.events import EventIntake
from app.gepetto.ingest.feeds import FeedReader
from app.gepetto.ingest.world import World
from app.gepetto.metrics import Metrics
from app.gepetto.ports import LaunchRefusal, UnavailableError
from app.gepetto.service import Cadence, Gepetto
from app.gepetto.settings import read_configuration
from app.gepetto.why import publish
from app.gepetto.world.views import NodeState, ServerView
from app.observe.readings import ObservationUnavailableError
from app.protocol.channels import SCHEDULER_REASONS
from app.protocol.chutes import ChuteRecord, NodeSelector, Utilization
from app.protocol.events import Event, Reason, understand
from app.protocol.instances import ActiveInstance, InstanceRecord, LaunchConfig
from app.protocol.servers import RemoteServer
from app.protocol.wire import driver_gpu_id
from app.storage import intents as requests
from app.storage.additions import IntentKind
from tests.service.app.gepetto.conftest import Stage
from tests.support.gepetto import HOTKEY, NOW, VALIDATOR
from tests.support.gepetto_outside import FakeCluster, FakeClusters

pytestmark = pytest.mark.service
QUIET = Configuration(warm_up=WarmUpConfiguration(enabled=False), placement=PlacementConfiguration(starts_per_server=8))


def record(number: int, **changes: object) -> ChuteRecord:
    selector = NodeSelector(gpu_count=1, supported_gpus=("pro_6000",))
    known = ChuteRecord(
        chute_id=f"chute-{number:03}", version="1", name=f"made up {number}", image="someone/thing:1", ref_str="c:c",
        node_selector=selector, chutes_version="0.6.0", tee=True, public=True, cords=({"path": "/x"},),
        effective_compute_multiplier=0.9,
    )  # fmt: skip
    return known.model_copy(update=changes)


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def gepetto(stage: Stage) -> Gepetto:
    clock = Clock()
    for number in range(2):
        server = await stage.add_server(number)
        stage.validator.server_list.append(RemoteServer(server_id=server, version="1.4.0"))
    stage.validator.chute_list = [record(0), record(1, public=False)]
    stage.validator.usage = [Utilization(chute_id="chute-000", target_count=2, total_instance_count=0, scalable=True)]
    world = World(HOTKEY)
    reader = FeedReader(world, stage.validator, stage.engine, clock)
    one = Gepetto(
        engine=stage.engine,
        world=world,
        readers={VALIDATOR: reader},
        clusters=LiveClusters(stage.clusters, clock),
        intake=EventIntake(world, stage.engine, clock, lambda: None),
        executor=stage.restart(),
        configuration=QUIET,
        decider=BuiltIn(),
        metrics=Metrics(),
        clock=clock,
        cadence=Cadence(0.1, 0.01, 0.2, 0.1, 0.2),
    )
    one.intake.wake = one.dirty.set
    await one.read_rows()
    await reader.refresh()
    await one.read_clusters()
    return one


async def settle(gepetto: Gepetto) -> None:
    """Decide, and do what was decided."""
    await gepetto.decide_once()
    task = asyncio.create_task(gepetto.executor.run())
    async with asyncio.timeout(20):
        await gepetto.executor.drained()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await gepetto.read_clusters()


def event(reason: Reason, **data: object) -> Event:
    found = understand(reason.value, {"validator": VALIDATOR, **data})
    assert isinstance(found, Event)
    return found


async def test_27_05_a_copy_goes_from_decision_to_active_and_ends_with_the_validators_word(
    gepetto: Gepetto, stage: Stage
) -> None:
    await settle(gepetto)
    assert await stage.count("deployments", "NOT stub") == 3  # the target and one racer
    await gepetto.read_rows()
    config = gepetto.world.rows.deployments[0].config_id
    own = {"miner_hotkey": HOTKEY, "instance_id": "i1", "chute_id": "chute-000", "config_id": config}
    await gepetto.intake.apply(event(Reason.INSTANCE_ACTIVATED, **own))  # out of order: before it was created
    for reason in (Reason.INSTANCE_CREATED, Reason.INSTANCE_VERIFIED, Reason.INSTANCE_VERIFIED):
        await gepetto.intake.apply(event(reason, **own))
    assert await stage.count("deployments", "instance_id = 'i1' AND active AND verified_at IS NOT NULL") == 1
    stage.validator.instance_list = [
        InstanceRecord(instance_id="i1", chute_id="chute-000", config_id=config, active=True)
    ]
    await gepetto.intake.apply(event(Reason.INSTANCE_DELETED, **own))
    await settle(gepetto)
    assert await stage.count("deployments", "instance_id = 'i1'") == 0
    assert ("delete_instance", "i1") not in stage.validator.calls


async def test_27_05_a_gpu_is_verified_in_whatever_form_its_id_is_told(gepetto: Gepetto, stage: Stage) -> None:
    await settle(gepetto)
    async with AsyncSession(gepetto.intake.engine) as session, session.begin():
        gpu = (await session.execute(text("SELECT gpu_id FROM gpus ORDER BY gpu_id LIMIT 1"))).scalar_one()
        await session.execute(text("UPDATE gpus SET verified = false WHERE gpu_id = :gpu"), {"gpu": gpu})
    await gepetto.intake.apply(event(Reason.GPU_VERIFIED, gpu_id=driver_gpu_id(gpu).upper(), miner_hotkey=HOTKEY))
    assert await stage.count("gpus", "NOT verified") == 0


async def test_27_05_foreign_unknown_and_inferred_events_change_nothing(gepetto: Gepetto, stage: Stage) -> None:
    await settle(gepetto)
    before = await stage.count("deployments")
    other = {"miner_hotkey": "5Somebody", "instance_id": "i1", "chute_id": "chute-000"}
    await gepetto.intake.apply(event(Reason.INSTANCE_DELETED, **other))
    await gepetto.intake.apply(event(Reason.INSTANCE_DELETED, **{**other, "miner_hotkey": HOTKEY}, reconciled=True))
    await gepetto.intake.apply(event(Reason.JOB_DELETED, instance_id="x", job_id="unknown"))
    await gepetto.intake.apply(event(Reason.GPU_VERIFIED, gpu_id="f" * 32, miner_hotkey=HOTKEY))
    await gepetto.intake.apply(event(Reason.IMAGE_UPDATED, image_id="i", image="a/b:2", chute_ids=["chute-000"]))
    await gepetto.intake.apply(event(Reason.CHUTE_UPDATED, chute_id="chute-000", version="1"))
    await gepetto.intake.apply(event(Reason.CHUTE_UPDATED, chute_id="chute-000", version="gone"))
    await settle(gepetto)
    assert await stage.count("deployments") == before
    assert await stage.count("chutes", "image = 'a/b:2'") == 1
    assert gepetto.intake.refetch == set()


async def test_27_06_a_thousand_bounties_are_one_decision(gepetto: Gepetto, stage: Stage) -> None:
    for _ in range(1000):
        await gepetto.intake.apply(
            event(Reason.BOUNTY_CHANGE, chute_id="chute-001", bounty_boost=1.4, effective_multiplier=1.26)
        )
    await settle(gepetto)
    await settle(gepetto)
    assert await stage.count("deployments", "chute_id = 'chute-001'") == 1
    launched = [intent for intent in gepetto.last_intents if "chute-001" in intent.key]
    assert launched == []


async def test_a_start_for_a_bounty_that_another_miner_won_gives_its_gpu_back(gepetto: Gepetto, stage: Stage) -> None:
    await gepetto.intake.apply(
        event(Reason.BOUNTY_CHANGE, chute_id="chute-001", bounty_boost=1.4, effective_multiplier=1.26)
    )
    await settle(gepetto)
    await gepetto.read_rows()
    [row] = [one for one in gepetto.world.rows.deployments if one.chute_id == "chute-001"]
    own = {"miner_hotkey": HOTKEY, "instance_id": "i1", "chute_id": "chute-001", "config_id": row.config_id}
    await gepetto.intake.apply(event(Reason.INSTANCE_CREATED, **own))
    stage.validator.instance_list = [
        InstanceRecord(instance_id="i1", chute_id="chute-001", config_id=row.config_id, active=False)
    ]
    stage.validator.usage.append(Utilization(chute_id="chute-001", target_count=1, total_instance_count=2))
    stage.validator.active_list = [
        ActiveInstance(
            instance_id="theirs", chute_id="chute-001", miner_hotkey="5Other", activated_at="2026-01-01T00:00:00Z"
        )
    ]
    for left in (1, 0):  # one reading is not enough
        gepetto.clock.now += 30  # type: ignore[attr-defined]
        await gepetto.readers[VALIDATOR].refresh()
        await gepetto.read_clusters()
        await settle(gepetto)
        assert await stage.count("deployments", "chute_id = 'chute-001'") == left
    assert ("delete_instance", "i1") in stage.validator.calls
    assert await stage.count("deployments", "chute_id = 'chute-000'") == 3


async def test_27_07_jobs_are_run_marked_and_ended_by_their_event(gepetto: Gepetto, stage: Stage) -> None:
    await gepetto.intake.apply(event(Reason.JOB_CREATED, job_id="excluded", chute_id="chute-001", exclude=[HOTKEY]))
    await gepetto.intake.apply(event(Reason.JOB_CREATED, job_id="job-1", chute_id="chute-001"))
    await settle(gepetto)
    assert await stage.count("deployments", "job_id = 'job-1'") == 1
    assert await stage.count("deployments", "job_id = 'excluded'") == 0
    await gepetto.intake.apply(event(Reason.JOB_DELETED, instance_id="x", job_id="job-1"))
    await settle(gepetto)
    assert await stage.count("deployments", "job_id = 'job-1'") == 0


async def test_27_11_a_rolling_update_ends_the_old_copy(gepetto: Gepetto, stage: Stage) -> None:
    await settle(gepetto)
    await gepetto.read_rows()
    row = gepetto.world.rows.deployments[0]
    own = {"miner_hotkey": HOTKEY, "instance_id": "i1", "chute_id": "chute-000", "config_id": row.config_id}
    await gepetto.intake.apply(event(Reason.INSTANCE_CREATED, **own))
    stage.validator.chute_list = [record(0, version="2"), record(1)]
    update = {"chute_id": "chute-000", "instance_id": "i1", "miner_hotkey": HOTKEY, "new_version": "2"}
    await gepetto.intake.apply(event(Reason.ROLLING_UPDATE, **update))
    await settle(gepetto)
    assert await stage.count("chutes", "chute_id = 'chute-000' AND version = '2'") == 1
    assert await stage.count("deployments", f"deployment_id = '{row.deployment_id}'") == 0


async def test_an_operators_requests_are_carried_out_and_finished(gepetto: Gepetto, stage: Stage) -> None:
    await settle(gepetto)
    await gepetto.read_rows()
    first = gepetto.world.rows.deployments[0]
    forgotten: list[str] = []

    async def forget(server: ServerView) -> bool:
        forgotten.append(server.id)
        return len(forgotten) > 1

    gepetto.forget_server = forget
    stage.validator.usage = [Utilization(chute_id="chute-000", scalable=False)]
    await gepetto.readers[VALIDATOR].refresh()
    async with AsyncSession(stage.engine) as session, session.begin():
        await requests.record(session, IntentKind.UNDEPLOY, [first.deployment_id])
        await requests.record(session, IntentKind.DELETE_SERVER, ["server-001"])
    await settle(gepetto)
    await settle(gepetto)
    assert await stage.count("deployments", f"deployment_id = '{first.deployment_id}'") == 0
    assert forgotten == ["server-001", "server-001"]  # the validator answered the second time; until then it stayed
    assert await stage.count("servers") == 1
    await gepetto.decide_once()
    assert await stage.count("intents", "done_at IS NULL") == 0


async def test_nothing_is_launched_on_a_node_that_is_drained_for_a_restart_until_it_is_open_again(
    gepetto: Gepetto, stage: Stage
) -> None:
    machines = [await stage.clusters.of(f"server-{number:03}") for number in range(2)]
    for machine in machines:
        machine.node = NodeState.CLOSED  # `kubectl cordon`, seen by nobody yet
    await settle(gepetto)
    assert await stage.count("deployments") == 0
    assert not [call for call in stage.validator.calls if call[0] == "launch_config"], "a token is not wasted"
    assert all(not machine.jobs and not machine.services for machine in machines)
    for _ in range(2):  # known now: not even tried
        await settle(gepetto)
        assert [intent for intent in gepetto.last_intents if isinstance(intent, Launch)] == []
    for machine in machines:
        machine.node = NodeState.OPEN  # `kubectl uncordon`, which the roll-out does when the node is Ready
    await gepetto.read_clusters()
    await settle(gepetto)
    assert await stage.count("deployments", "NOT stub") == 3


async def test_a_node_that_closes_between_token_and_job_gets_no_job(gepetto: Gepetto, stage: Stage) -> None:
    machines = [await stage.clusters.of(f"server-{number:03}") for number in range(2)]
    answer = stage.validator.launch_config

    async def close_then_answer(chute_id: str, job_id: str | None = None) -> LaunchConfig | LaunchRefusal:
        for machine in machines:
            machine.node = NodeState.CLOSED
        return await answer(chute_id, job_id)

    stage.validator.launch_config = close_then_answer  # type: ignore[method-assign]
    await settle(gepetto)
    assert [call for call in stage.validator.calls if call[0] == "launch_config"]
    assert all(not machine.jobs and not machine.services for machine in machines)
    assert await stage.count("deployments") == 0
    assert await stage.count("gpus", "deployment_id IS NOT NULL") == 0


async def active_copies(gepetto: Gepetto, stage: Stage) -> tuple[FakeCluster, str, list[str]]:
    """A node with copies that have been active for a minute: its cluster, its server, the ids of its copies."""
    await settle(gepetto)
    async with stage.engine.begin() as connection:
        change = "instance_id = 'i-' || deployment_id, active = true, verified_at = now(), activated_at = now()"
        await connection.execute(text(f"UPDATE deployments SET {change}"))
    await gepetto.read_rows()
    server = gepetto.world.rows.deployments[0].server_id
    here = [row.deployment_id for row in gepetto.world.rows.deployments if row.server_id == server]
    return await stage.clusters.of(server), server, here


async def test_the_copies_of_a_drained_node_end_at_their_validator_and_then_in_their_cluster(
    gepetto: Gepetto, stage: Stage
) -> None:
    machine, server, here = await active_copies(gepetto, stage)
    machine.node = NodeState.DRAINING  # `headframe drain`
    await gepetto.read_clusters()
    await settle(gepetto)
    assert await stage.count("deployments", f"server_id = '{server}'") == 0
    deleted = [call[-1] for call in stage.validator.calls if call[0] == "delete_instance"]
    assert sorted(deleted) == sorted(f"i-{row}" for row in here)
    assert not machine.jobs


async def test_nothing_ends_on_a_node_that_is_open_again_since_it_was_read(gepetto: Gepetto, stage: Stage) -> None:
    machine, server, here = await active_copies(gepetto, stage)
    machine.node = NodeState.DRAINING
    await gepetto.read_clusters()
    machine.node = NodeState.OPEN  # `headframe open`
    await settle(gepetto)
    assert [intent.key for intent in gepetto.last_intents if isinstance(intent, Terminate)]
    assert await stage.count("deployments", f"server_id = '{server}'") == len(here)
    assert not [call for call in stage.validator.calls if call[0] == "delete_instance"]


async def test_every_decision_that_wants_something_is_in_the_journal(gepetto: Gepetto, stage: Stage) -> None:
    await settle(gepetto)
    async with stage.engine.connect() as connection:
        (body,) = (await connection.execute(text("SELECT body FROM gepetto_decisions"))).scalars()
    assert {intent["kind"] for intent in body["intents"]} == {"Launch"}


async def test_what_the_last_decision_weighed_is_published_with_an_end(gepetto: Gepetto, redis: Redis) -> None:
    gepetto.publish = partial(publish, redis)
    await gepetto.publish_reasons()
    assert await redis.exists(SCHEDULER_REASONS) == 0, "nothing was decided yet"
    await settle(gepetto)
    await gepetto.publish_reasons()
    said = orjson.loads(await redis.hget(SCHEDULER_REASONS, "chute-000") or b"{}")
    assert said["verdict"].startswith("being launched on server-")
    assert any(line.startswith("launch:chute-000:") for line in said["doing"])
    assert set(await redis.hkeys(SCHEDULER_REASONS)) == {b"chute-000", b"chute-001", b"server-000", b"server-001"}
    assert await redis.ttl(SCHEDULER_REASONS) > 0
    gepetto.publish = partial(publish, Redis.from_url("redis://127.0.0.1:1", socket_connect_timeout=1))
    await gepetto.publish_reasons()  # Redis is away: told in the log, and nothing else


async def test_the_http_surface_explains_and_measures(gepetto: Gepetto) -> None:
    leader = [True]
    transport = httpx.ASGITransport(app=create_app(Surface(gepetto, lambda: leader[0])))
    async with httpx.AsyncClient(transport=transport, base_url="http://gepetto") as http:
        assert (await http.get("/ping")).status_code == 200
        assert (await http.get("/ready")).status_code == 503
        assert (await http.get("/explain", params={"chute": "chute-000"})).status_code == 503
        assert (await http.get("/snapshot")).status_code == 503
        await settle(gepetto)
        assert (await http.get("/ready")).json()["leader"] is True
        named = (await http.get("/explain", params={"chute": "made up 1"})).json()
        assert named["chute_id"] == "chute-001"
        assert "allowance" in named["verdict"]
        launched = (await http.get("/explain", params={"chute": "chute-000"})).json()
        assert launched["verdict"].startswith("being launched")
        assert (await http.get("/explain", params={"chute": "of nothing"})).status_code == 404
        assert len((await http.get("/decision")).json()["intents"]) == 3
        assert (await http.get("/snapshot")).json()["hotkey"] == HOTKEY
        metrics = (await http.get("/metrics")).text
        assert 'gepetto_intents_total{kind="Launch",result="launched"} 3.0' in metrics


async def test_it_runs_by_itself_until_it_is_stopped(gepetto: Gepetto, stage: Stage) -> None:
    gepetto.clock.now = NOW + 1  # type: ignore[attr-defined]
    task = asyncio.create_task(gepetto.run())
    launched = asyncio.Event()
    report = gepetto.executor.report

    def watch(intent: object, result: str) -> None:
        report(intent, result)  # type: ignore[arg-type]
        if result == "launched":
            launched.set()

    gepetto.executor.report = watch
    async with asyncio.timeout(20):
        await launched.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await stage.count("deployments") >= 1


async def test_a_cache_that_cannot_be_read_is_no_evidence() -> None:
    class Broken:
        async def read_fleet(self, kinds: object) -> object:
            raise ObservationUnavailableError("as told")

    with pytest.raises(UnavailableError):
        await CachedClusters(Broken()).read({}, NOW)  # type: ignore[arg-type]


async def test_a_server_whose_answer_cannot_be_understood_is_unhealthy_and_the_others_are_read() -> None:
    clusters = FakeClusters()
    clusters.by_server["s0"] = broken = FakeCluster()
    broken.jobs["chute-d1"] = {"metadata": {}}
    with capture_logs() as logs:
        read = await LiveClusters(clusters, lambda: NOW).read({"n0": "s0", "n1": "s1"}, NOW)
    assert [(state.name, state.healthy) for state in read] == [("n0", False), ("n1", True)]
    assert [(entry["log_level"], entry["server"]) for entry in logs] == [("error", "n0")]


def test_configuration_is_read_from_yaml_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "gepetto.yaml"
    assert read_configuration(path) == Configuration()
    path.write_text("strategy: conservative\nchutes:\n  some-chute: {max_copies: 2}\n")
    found = read_configuration(path)
    assert (found.strategy.value, found.chutes["some-chute"].max_copies) == ("conservative", 2)
    for wrong in ("- a list", "stratgy: conservative"):
        path.write_text(wrong)
        with pytest.raises(ValueError, match=r"mapping|stratgy"):
            read_configuration(path)


async def test_a_changed_configuration_is_taken_over_and_a_wrong_one_is_left_aside(
    gepetto: Gepetto, tmp_path: Path
) -> None:
    path, faults = tmp_path / "gepetto.yaml", list[str]()
    gepetto.configured = ConfigurationFile(path, faults.append)
    await gepetto.decide_once()
    assert gepetto.configuration == QUIET
    for written, strategy, told in (
        ("strategy: conservative", "conservative", 0),
        ("stratgy: greedy_value", "conservative", 1),
        ("stratgy: greedy_value", "conservative", 1),
        ("a: [", "conservative", 2),
        ("strategy: greedy_value", "greedy_value", 2),
    ):
        path.write_text(written)
        await gepetto.decide_once()
        assert (gepetto.configuration.strategy.value, len(faults)) == (strategy, told)
    path.unlink()
    await gepetto.decide_once()
    assert gepetto.configuration.strategy.value == "greedy_value"


async def test_a_token_bucket_lets_a_burst_through_and_then_the_rate() -> None:
    loop = asyncio.get_running_loop()
    bucket = TokenBucket(50.0, 5, loop.time)
    began = loop.time()
    for _ in range(10):
        await bucket.take()
    assert 0.05 < loop.time() - began < 2.0


async def test_images_are_pulled_ahead_on_bare_servers_only_and_count_as_cached(gepetto: Gepetto, stage: Stage) -> None:
    await stage.add_server(5, tee=False)
    await stage.add_chute(5, tee=False)
    stage.validator.chute_list = [record(5, tee=False)]
    stage.validator.usage = [
        Utilization(chute_id="chute-005", target_count=1, total_instance_count=1, scalable=True, utilization_5m=0.9)
    ]
    await gepetto.read_rows()
    await gepetto.readers[VALIDATOR].refresh()
    await gepetto.read_clusters()
    gepetto.configuration = QUIET.model_copy(update={"warm_up": WarmUpConfiguration()})
    await settle(gepetto)
    assert gepetto.world.warmed == {("server-005", "chute-005")}
    assert "warm_up" in (await stage.clusters.of("server-005")).events
    await gepetto.read_rows()
    (server,) = (s for s in gepetto.world.snapshot(gepetto.clock()).servers if s.id == "server-005")
    assert "chute-005" in server.cached_chutes
