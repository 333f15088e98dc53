"""Database or Redis gone: 503 with the reason, nothing lost, recovery without a restart."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from app.storage import intents
from app.storage.__main__ import run
from app.storage.additions import IntentKind
from lab.services.postgres import EmbeddedPostgres, temporary_folder
from lab.services.redis import EmbeddedRedis
from tests.support.api import ApiClient, client_for, running_app, settings
from tests.support.control import VALIDATOR
from tests.support.waiting import until

pytestmark = pytest.mark.service

LOCK = "/servers/simulated-gpu-0/lock"


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    folder = temporary_folder()
    try:
        with EmbeddedPostgres(folder / "data") as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path) as server:
        yield server


@pytest.fixture
async def app(own_postgres: EmbeddedPostgres, own_redis: EmbeddedRedis) -> AsyncIterator[FastAPI]:
    own_postgres.create_database("chutes")
    await run("seed", own_postgres.url("chutes"), VALIDATOR.ss58)
    async with running_app(settings(own_postgres.url("chutes"), own_redis.url)) as app:
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[ApiClient]:
    async with client_for(app) as client:
        yield client


async def is_up(client: ApiClient, method: str = "GET", target: str = "/servers/") -> bool:
    return (await client.send(method, target)).status_code == 200


async def test_without_the_database_every_route_is_503_and_recovers(
    client: ApiClient, own_postgres: EmbeddedPostgres
) -> None:
    assert await is_up(client)
    own_postgres.stop()
    for method, target in (
        ("GET", "/servers/"),
        ("GET", LOCK),
        ("DELETE", "/deployments/purge"),
        ("GET", "/why?subject=a"),
    ):
        answer = await client.send(method, target)
        assert (answer.status_code, answer.json()["reason"]) == (503, "database"), target
        assert answer.headers["retry-after"] == "2"
    assert (await client.http.get("/ready")).json()["reason"] == "database"
    assert (await client.http.get("/health")).status_code == 200
    assert (await client.http.get("/registry/auth", headers={"X-Headframe-Node-Token": "t"})).status_code == 503
    own_postgres.start()
    await until(lambda: is_up(client))
    await until(lambda: is_up(client, "GET", LOCK))
    assert len((await client.send("GET", "/servers/")).json()) == 3


async def test_without_redis_nothing_signed_is_accepted_and_it_recovers(
    client: ApiClient, own_redis: EmbeddedRedis
) -> None:
    assert await is_up(client)
    own_redis.stop()
    for method, target in (("GET", "/servers/"), ("POST", LOCK), ("DELETE", "/deployments/purge")):
        answer = await client.send(method, target)
        assert (answer.status_code, answer.json()["reason"]) == (503, "redis"), target
    assert (await client.http.get("/ready")).json()["reason"] == "redis"
    own_redis.start()
    await until(lambda: is_up(client))


async def test_an_intent_survives_redis_going_away_between_two_steps(
    app: FastAPI, client: ApiClient, own_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = intents.record

    async def record_then_lose_redis(session: AsyncSession, kind: IntentKind, subjects: Sequence[str]) -> None:
        await original(session, kind, subjects)
        own_redis.stop()

    monkeypatch.setattr(intents, "record", record_then_lose_redis)
    answer = await client.send("DELETE", "/servers/simulated-gpu-0")
    assert (answer.status_code, answer.json()["status"]) == (200, "started")
    assert (await app.state.services.reader.text("SELECT kind FROM intents")) == b"delete_server"


async def test_the_api_starts_while_its_databases_are_away_and_says_so(tmp_path: Path) -> None:
    folder = temporary_folder()
    server, redis = EmbeddedPostgres(folder / "data"), EmbeddedRedis(tmp_path)
    try:
        server.start()
        server.create_database("chutes")
        server.stop()
        from app.api.main import create_app

        app = create_app(settings(server.url("chutes"), redis.url))
        async with app.router.lifespan_context(app), client_for(app) as client:
            assert (await client.http.get("/ready")).status_code == 503
            assert (await client.send("GET", "/servers/")).status_code == 503
            redis.start()
            server.start()
            await until(lambda: is_up(client), seconds=30)
            assert (await client.send("GET", "/servers/")).json() == []
    finally:
        server.stop()
        redis.stop()
        shutil.rmtree(folder, ignore_errors=True)
