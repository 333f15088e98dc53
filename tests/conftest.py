"""Fixtures for every tier: a real PostgreSQL, Redis and Kubernetes API server, one of each a run."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from xdist.remote import Producer

from lab.hosts.fleet import LabFleet
from lab.kubernetes.apiserver import LocalApiServer
from lab.services.postgres import EmbeddedPostgres, temporary_folder
from lab.services.redis import EmbeddedRedis
from tests.support.lab_fleet import booted_fleet
from tests.support.scheduling import SharedScheduling


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SharedScheduling | None:
    """`--dist loadfile` knows which files share something of this machine."""
    return SharedScheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A running PostgreSQL server. Tests that stop it start their own instead."""
    folder = temporary_folder()
    try:
        with EmbeddedPostgres(folder / "data", survives_power_loss=False) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """SQLAlchemy URL (asyncpg) of an empty database that is this test's alone."""
    name = f"t{uuid.uuid4().hex}"
    postgres.create_database(name)
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A running Redis server. Tests that stop it start their own instead."""
    folder: Path = tmp_path_factory.mktemp("redis")
    with EmbeddedRedis(folder) as server:
        yield server


@pytest.fixture
async def redis(redis_server: EmbeddedRedis) -> AsyncIterator[Redis]:
    """A client of an empty Redis."""
    async with asyncio.timeout(30), Redis.from_url(redis_server.url) as client:
        await client.flushall()
        yield client


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalApiServer]:
    """A ready Kubernetes API server without nodes. Shared: take a namespace of your own. For outages start another."""
    with LocalApiServer(tmp_path_factory.mktemp("kubernetes")) as server:
        yield server


@pytest.fixture(scope="session")
def lab_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabFleet]:
    """Two booted lab hosts, `host-1` and `host-2` (root, real systemd). Shared: leave them running and tidy."""
    with booted_fleet(tmp_path_factory.mktemp("fleet"), ("host-1", "host-2")) as fleet:
        yield fleet
