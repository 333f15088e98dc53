"""The feed, the intake and the reconcile against the simulated validator, a real Redis and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.protocol.channels import MINER_EVENTS
from app.protocol.events import Event, Reason, understand
from app.storage.engine import create_engine
from app.storage.migrate import migrate
from app.storage.models import Deployment
from app.storage.seed import CHUTES, seed, seed_id
from app.validators.feed import Feed, Waits
from app.validators.intake import Intake
from app.validators.link import FACTS_GROUP, ValidatorLink
from app.validators.stream import REJECTED, Consumer, publish
from app.validators.transport import new_http_client
from lab.services.redis import EmbeddedRedis
from lab.validator.app import SimulatedValidator
from lab.validator.faults import Fault, FaultKind
from lab.validator.scenarios import MALFORMED, SCENARIOS, malformed_events
from tests.support.control import MINER, VALIDATOR, entry_of
from tests.support.waiting import running, until

pytestmark = pytest.mark.service

QUICK = Waits(first_seconds=0.05, longest_seconds=0.2, refused_seconds=0.1)


@pytest.fixture
async def validator() -> AsyncIterator[SimulatedValidator]:
    async with SimulatedValidator(VALIDATOR.ss58).listening() as validator:
        yield validator


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url, pool_size=4)
    await migrate(engine)
    yield engine
    await engine.dispose()


def update(version: str) -> object:
    return {"reason": "chute_updated", "data": {"chute_id": "c", "version": version}}


async def length(redis: Redis, wanted: int) -> bool:
    return await redis.xlen("headframe:events") >= wanted


class Heard:
    def __init__(self, validator: SimulatedValidator) -> None:
        self.messages: list[object] = []
        self.ready = 0
        self.feed = Feed(
            entry_of(validator), MINER, on_message=self.messages.append, on_ready=self._ready, clock=time.time,
            random=lambda: 0.5, waits=QUICK,
        )  # fmt: skip

    async def _ready(self) -> None:
        self.ready += 1


async def test_it_authenticates_and_hears_messages(validator: SimulatedValidator) -> None:
    heard = Heard(validator)
    async with running(heard.feed.run()):
        await until(lambda: heard.ready == 1)
        assert heard.feed.is_ready
        await validator.feed.broadcast("chute_created", {"chute_id": "c"}, [MINER.ss58])
        await until(lambda: heard.messages)
    assert heard.messages[0] == {
        "reason": "chute_created", "data": {"chute_id": "c"}, "filter_recipients": [MINER.ss58],
    }  # fmt: skip


async def test_it_survives_a_server_disconnect_a_refusal_and_a_refused_first_connect(
    validator: SimulatedValidator,
) -> None:
    heard = Heard(validator)
    validator.feed.deaf = True
    async with running(heard.feed.run()):
        await asyncio.sleep(0.3)
        assert heard.ready == 0
        validator.feed.deaf = False
        validator.feed.refuse_next = 1
        await until(lambda: heard.ready == 1)
        await validator.feed.disconnect_all()
        await until(lambda: heard.ready == 2)
        await validator.feed.broadcast("x", {})
        await until(lambda: heard.messages)


async def test_nothing_listens_and_it_keeps_trying() -> None:
    async with SimulatedValidator(VALIDATOR.ss58).listening() as gone:
        port = int(gone.url.rsplit(":", 1)[1])
        heard = Heard(gone)
    async with running(heard.feed.run()):
        await asyncio.sleep(0.3)
        assert heard.ready == 0
        async with SimulatedValidator(VALIDATOR.ss58).listening(port=port):
            await until(lambda: heard.ready == 1)


async def test_events_reach_the_public_channel_and_the_acknowledged_stream(redis: Redis) -> None:
    event = understand("chute_created", {"chute_id": "c", "version": "v", "validator": "x"})
    assert isinstance(event, Event)
    consumer = Consumer(redis, "test", "one")
    await consumer.prepare()
    await consumer.prepare()
    async with redis.pubsub() as listener:
        await listener.subscribe(MINER_EVENTS)
        await publish(redis, event)
        async with asyncio.timeout(5):
            async for message in listener.listen():
                if message["type"] == "message":
                    break
    assert orjson.loads(message["data"]) == {"event_type": "chute_created", "event_data": event.raw}
    (delivery,) = await consumer.take()
    assert delivery.event.reason is Reason.CHUTE_CREATED
    pending = await redis.xpending("headframe:events", "test")
    assert pending["pending"] == 1
    await consumer.acknowledge(delivery)
    assert (await redis.xpending("headframe:events", "test"))["pending"] == 0


async def test_what_a_dead_consumer_took_goes_to_another(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.validators.stream.RECLAIM_MILLISECONDS", 50)
    event = understand("bounty_change", {"chute_id": "c"})
    assert isinstance(event, Event)
    dead, heir = Consumer(redis, "g", "dead"), Consumer(redis, "g", "heir")
    await dead.prepare()
    await publish(redis, event)
    assert len(await dead.take()) == 1
    await asyncio.sleep(0.1)
    (again,) = await heir.take()
    assert again.event.reason is Reason.BOUNTY_CHANGE


async def test_malformed_messages_are_kept_aside_and_stop_nothing(redis: Redis, validator: SimulatedValidator) -> None:
    async def no_gap() -> None:
        raise AssertionError("nothing was lost")

    intake = Intake(redis, MINER.ss58, on_gap=no_gap)

    def take(message: object) -> None:
        intake.take(message, validator=VALIDATOR.ss58)

    feed = Feed(
        entry_of(validator), MINER, on_message=take,
        on_ready=lambda: asyncio.sleep(0), clock=time.time, random=lambda: 0.5, waits=QUICK,
    )  # fmt: skip
    async with running(intake.deliver(), feed.run()):
        await until(lambda: feed.is_ready)
        await malformed_events(validator)
        await SCENARIOS["steady_demand"](validator)
        await until(lambda: intake.accepted == 3)
        await until(lambda: length(redis, 3))
    assert intake.rejected == len(MALFORMED)
    assert await redis.llen(REJECTED) == len(MALFORMED)


async def test_events_wait_in_order_while_redis_is_away(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        async with Redis.from_url(server.url) as client:
            intake = Intake(client, MINER.ss58, on_gap=lambda: asyncio.sleep(0))
            async with running(intake.deliver()):
                server.stop()
                for version in "123":
                    intake.take(
                        {"reason": "chute_updated", "data": {"chute_id": "c", "version": version}}, validator="v"
                    )
                await asyncio.sleep(0.3)
                server.start()
                await until(lambda: length(client, 3))
                entries = await client.xrange("headframe:events") or []
    assert [orjson.loads(fields[b"event"])["event_data"]["version"] for _, fields in entries if fields] == [
        "1",
        "2",
        "3",
    ]


async def test_an_overflow_while_redis_is_away_asks_for_a_reconcile(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.validators.intake.WAITING_EVENTS", 2)
    gaps: list[int] = []

    async def on_gap() -> None:
        gaps.append(1)

    intake = Intake(redis, MINER.ss58, on_gap=on_gap)
    for version in "123":
        intake.take(update(version), validator="v")
    async with running(intake.deliver()):
        await until(lambda: gaps)
    assert await redis.xlen("headframe:events") == 2


async def fleet(engine: AsyncEngine, validator: SimulatedValidator) -> None:
    async with AsyncSession(engine) as session, session.begin():
        await seed(session, VALIDATOR.ss58)
    for name, *_ in CHUTES:
        chute_id = validator.state.add_chute(name.replace("/", "-"))
        chute = validator.state.chutes.pop(chute_id)
        validator.state.chutes[seed_id(name)] = chute | {"chute_id": seed_id(name), "version": seed_id(f"{name}/1")}


async def deployments(engine: AsyncEngine) -> list[Deployment]:
    async with AsyncSession(engine) as session:
        return list((await session.scalars(select(Deployment).order_by(Deployment.deployment_id))).all())


def instance_for(validator: SimulatedValidator, row: Deployment, instance_id: str) -> None:
    validator.state.instances[instance_id] = {
        "instance_id": instance_id, "chute_id": row.chute_id, "config_id": row.config_id, "active": True,
        "miner_hotkey": MINER.ss58, "last_verified_at": validator.state.now_iso(), "activated_at": None, "gpus": [],
    }  # fmt: skip


async def test_after_a_gap_rows_equal_the_validators_and_gone_instances_are_reported(
    redis: Redis, engine: AsyncEngine, validator: SimulatedValidator
) -> None:
    await fleet(engine, validator)
    first, second, gone = await deployments(engine)
    instance_for(validator, first, "i-1")
    instance_for(validator, second, "i-2")
    async with new_http_client() as http:
        link = ValidatorLink(
            [entry_of(validator)], MINER, http=http, redis=redis, engine=engine, waits=QUICK, reconcile_seconds=0.3
        )
        seen: list[Event] = []

        async def listen() -> None:
            consumer = Consumer(redis, "scheduler", "one")
            await consumer.prepare()
            async for delivery in consumer.each():
                seen.append(delivery.event)  # noqa: PERF401 - a list that others watch

        async def applied() -> bool:
            rows = (await deployments(engine))[:2]
            return [(d.instance_id, d.verified_at is not None) for d in rows] == [("i-1", True), ("i-2", True)]

        async with running(link.run(), listen()):
            await until(applied)
            await until(lambda: any(e.reason is Reason.INSTANCE_DELETED for e in seen))
            assert link.ready == {VALIDATOR.ss58: True}
    deleted = [e.raw["instance_id"] for e in seen if e.reason is Reason.INSTANCE_DELETED]
    assert deleted == [gone.instance_id]


async def test_a_fact_that_the_database_refuses_holds_up_no_other(
    redis: Redis, engine: AsyncEngine, validator: SimulatedValidator
) -> None:
    await fleet(engine, validator)
    row, *_ = await deployments(engine)
    updated = {"image_id": "i", "image": "nul \x00", "chute_ids": [row.chute_id]}
    created = {"config_id": row.config_id, "instance_id": "i-1", "miner_hotkey": MINER.ss58, "chute_id": row.chute_id}
    async with new_http_client() as http:
        link = ValidatorLink([entry_of(validator)], MINER, http=http, redis=redis, engine=engine, waits=QUICK)
        await Consumer(redis, FACTS_GROUP, "leader").prepare()
        for reason, data in ((Reason.IMAGE_UPDATED, updated), (Reason.INSTANCE_CREATED, created)):
            event = understand(reason, data)
            assert isinstance(event, Event)
            await publish(redis, event)

        async def applied() -> bool:
            return (await deployments(engine))[0].instance_id == "i-1"

        async def acknowledged() -> bool:
            return bool((await redis.xpending("headframe:events", FACTS_GROUP))["pending"] == 0)

        async with running(link.run()):
            await until(applied)
            await until(acknowledged)


async def test_a_validator_that_answers_nothing_for_an_hour_removes_nothing(
    redis: Redis, engine: AsyncEngine, validator: SimulatedValidator, http_hour: list[float]
) -> None:
    await fleet(engine, validator)
    before = [d.deployment_id for d in await deployments(engine)]
    validator.faults.add(Fault("GET *", FaultKind.DROP, times=30))
    validator.faults.add(Fault("GET *", FaultKind.EMPTY, times=None))
    async with new_http_client() as http:
        link = ValidatorLink(
            [entry_of(validator)], MINER, http=http, redis=redis, engine=engine, clock=lambda: http_hour[0]
        )
        from app.validators.remote import RemoteView

        view = RemoteView()
        for _ in range(60):
            http_hour[0] += 60
            view = await link.reconcile(VALIDATOR.ss58, view)
        assert set(view.failures) == {"chutes", "instances"}
    assert link.intake.accepted == 0
    assert await redis.xlen("headframe:events") == 0
    assert [d.deployment_id for d in await deployments(engine)] == before


@pytest.fixture
def http_hour() -> list[float]:
    """A clock that the test moves: it starts now."""
    return [time.time()]
