"""Contesting for the lead goes on whatever happens in a reign or at the preparation of the schema."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import pytest
import structlog
from alembic.util import CommandError
from structlog.testing import capture_logs

from app.api import leader
from app.api.services import Services


class _Engine:
    """Connections that nothing is asked of."""

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[_Engine]:
        yield self

    async def execution_options(self, **_: object) -> _Engine:
        return self


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    async def taken(*_: object) -> bool:
        return True

    structlog.reset_defaults()
    monkeypatch.setattr(leader, "try_lock", taken)
    monkeypatch.setattr(leader, "CONTEST_SECONDS", 0.001)
    stand_in = SimpleNamespace(engine=_Engine(), is_prepared=True, settings=SimpleNamespace(leader_enabled=True))
    return cast("Services", stand_in)


@pytest.mark.parametrize(
    "failure", [ExceptionGroup("feeds", [TypeError("'int' object is not subscriptable")]), ValueError("odd")]
)
async def test_a_reign_that_ends_by_a_mistake_of_ours_is_told_and_followed_by_another(
    services: Services, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    again = asyncio.Event()
    reigns = 0

    async def reign(*_: object) -> None:
        nonlocal reigns
        reigns += 1
        if reigns > 1:
            again.set()
            await asyncio.sleep(60)
        raise failure

    monkeypatch.setattr(leader, "_reign", reign)
    with capture_logs() as logs:
        leading = asyncio.create_task(leader.lead(services))
        async with asyncio.timeout(5):
            await again.wait()
        leading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leading
    assert [entry["log_level"] for entry in logs] == ["error"]


async def test_a_schema_that_is_newer_than_this_release_is_told_and_looked_at_again(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def migrate(_: object) -> None:
        nonlocal looks
        looks += 1
        if looks < 3:
            raise CommandError("Can't locate revision identified by '0099'")

    services.is_prepared = False
    monkeypatch.setattr(leader, "migrate", migrate)
    with capture_logs() as logs:
        async with asyncio.timeout(5):
            await leader.prepare(services)
    assert services.is_prepared
    assert all("0099" in str(entry["error"]) for entry in logs)
    assert len(logs) == 2
