"""Renewed kubeconfigs of bare nodes replace the stored ones; what cannot be read replaces nothing."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.api.kubeconfig import parse
from app.api.node_kubeconfigs import NodeKubeconfigError
from app.api.renewal import renew
from app.api.services import Services
from lab.services.redis import EmbeddedRedis
from tests.support.api import running_app, settings

pytestmark = pytest.mark.service

RENEWED = """
clusters: [{name: c, cluster: {server: "https://192.0.2.1:6443"}}]
users: [{name: u, user: {token: renewed}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
"""
READABLE = "simulated-gpu-1"
AWAY = "simulated-gpu-2"


async def stored(services: Services, name: str) -> str:
    async with services.engine.connect() as connection:
        row = (
            await connection.execute(text("SELECT server_id, kubeconfig FROM servers WHERE name = :n"), {"n": name})
        ).one()
    return services.settings.vault.open(row[0], row[1]) if row[1] else ""


async def read(namespace: str, node: str) -> str | None:
    assert namespace == "headframe-nodes"
    if node == AWAY:
        raise NodeKubeconfigError("the cluster does not answer")
    return RENEWED if node == READABLE else None


async def test_only_what_was_read_and_differs_is_stored(database_url: str, redis_server: EmbeddedRedis) -> None:
    async with running_app(settings(database_url, redis_server.url)) as app:
        services = _services(app)
        before = await stored(services, AWAY)
        assert await renew(services, "headframe-nodes", read) == [READABLE]
        assert parse(await stored(services, READABLE)).users[0].user.token == "renewed"
        assert await stored(services, AWAY) == before
        assert await renew(services, "headframe-nodes", read) == []


def _services(app: FastAPI) -> Services:
    services = app.state.services
    assert isinstance(services, Services)
    return services
