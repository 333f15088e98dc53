"""The Registration kind against the real miner API on PostgreSQL and Redis, with a simulated validator and node."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy import text

from app.protocol.signing import Signer
from infra.provider.kinds.kind import Call
from infra.provider.kinds.registration import RegistrationResource
from infra.provider.log import EngineLog, ResourceLog
from infra.provider.miner_api import HttpMinerApi
from infra.provider.options import Options
from infra.provider.wire import Properties, secret
from lab.services.redis import EmbeddedRedis
from lab.validator.app import SimulatedValidator
from tests.support.api import running_app, settings
from tests.support.control import VALIDATOR, entry_of, throwaway_seed
from tests.support.databases import database_url, template
from tests.support.worker import SimulatedWorker

__all__ = ["database_url", "template"]

pytestmark = pytest.mark.service
NODE = "worker-1"


class World:
    """The API with one node that may be registered."""

    def __init__(self, app: FastAPI, worker: SimulatedWorker) -> None:
        self.app = app
        self.kind = RegistrationResource(Options(), open_api=self._open, pause_seconds=0.05)
        self.inputs: Properties = {
            "node": NODE,
            "kind": "tee",
            "minerApi": "http://api.test",
            "agentApi": worker.agent_url,
            "validator": VALIDATOR.ss58,
            "gpu": "h100_sxm",
            "hourlyCostUsd": 2.0,
            "drained": False,
            "seed": secret(throwaway_seed("miner")),
        }

    def _open(self, address: str, signer: Signer) -> HttpMinerApi:
        return HttpMinerApi(address, signer, transport=httpx.ASGITransport(self.app, client=("192.0.2.1", 1)))

    async def rows(self, statement: str) -> list[object]:
        async with self.app.state.services.engine.begin() as connection:
            return list((await connection.execute(text(statement))).scalars())


def call() -> Call:
    return Call("urn", NODE, ResourceLog(EngineLog(""), "urn"), 20)


@pytest.fixture
async def world(database_url: str, redis: Redis, redis_server: EmbeddedRedis, tmp_path: Path) -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as stack:
        validator = await stack.enter_async_context(SimulatedValidator(VALIDATOR.ss58).listening())
        worker = await stack.enter_async_context(SimulatedWorker("127.8.0.1").listening(tmp_path))
        config = settings(
            database_url, redis_server.url, validator=entry_of(validator), monitor_api="http://127.0.0.1:32001"
        )
        yield World(await stack.enter_async_context(running_app(config)), worker)


async def test_a_node_is_registered_read_back_changed_and_removed(world: World) -> None:
    kind, inputs = world.kind, world.inputs
    id_, outputs = await kind.create(call(), inputs)
    assert (id_, outputs["registered"], outputs["verifiedGpus"]) == (NODE, True, 2)
    assert outputs["serverId"] == f"uid-of-{NODE}"
    again, taken_over = await kind.create(call(), inputs)
    assert (again, taken_over) == (id_, outputs)
    read = await kind.read(call(), id_, inputs, outputs)
    assert (read.id, read.outputs) == (id_, outputs)
    assert kind.diff(inputs, read.outputs, inputs).differences == ()

    news = {**inputs, "hourlyCostUsd": 3.5, "drained": True, "registryTokenSha256": "ab" * 32}
    changed = await kind.update(call(), id_, outputs, news)
    assert await world.rows(f"SELECT hourly_cost FROM servers WHERE locked AND name = '{NODE}'") == [3.5]
    assert await world.rows("SELECT registry_token_sha256 FROM node_profiles WHERE registry_token_sha256 <> ''")

    removal = asyncio.create_task(kind.delete(call(), id_, changed))
    async with asyncio.timeout(20):
        while not await world.rows("SELECT kind FROM intents WHERE kind = 'delete_server'"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # the database tells nobody
    assert not removal.done(), "the API has only begun: the node is still listed"
    await world.rows(f"DELETE FROM servers WHERE name = '{NODE}' RETURNING 1")  # what Gepetto does when all has ended
    await removal
    gone = await kind.read(call(), id_, news, changed)
    assert (gone.id, gone.outputs["registered"]) == (NODE, False)


async def test_two_runs_at_once_register_a_node_once(world: World) -> None:
    (first, one), (second, two) = await asyncio.gather(
        world.kind.create(call(), world.inputs),
        world.kind.create(call(), {**world.inputs, "hourlyCostUsd": 2.5, "registryTokenSha256": "cd" * 32}),
    )
    assert (first, one["registered"]) == (second, two["registered"]) == (NODE, True)
    assert await world.rows("SELECT count(*) FROM gpus WHERE verified AND server_id LIKE 'uid-of-%'") == [2]
