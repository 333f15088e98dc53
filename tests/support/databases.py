"""Fixtures for tests of API and commands: a filled database, copied for each test from one that was migrated once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator

import pytest

from app.storage.__main__ import run
from lab.services.postgres import EmbeddedPostgres
from tests.support.control import VALIDATOR


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """Name of a migrated database with development data."""
    name = f"template{uuid.uuid4().hex}"
    postgres.create_database(name)
    asyncio.run(run("seed", postgres.url(name), VALIDATOR.ss58))
    return name


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """A copy of the filled database, this test's alone."""
    name = f"t{uuid.uuid4().hex}"
    postgres._running().psql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield postgres.url(name)
    postgres.drop_database(name)
