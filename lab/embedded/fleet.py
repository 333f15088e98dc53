"""Puts the embedded fleet together and holds it: databases, SIMULATED validator and nodes, our real programs.

`async with embedded_fleet(...)` brings everything up, registered and announced; what it started ends with the block.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import orjson

from app.protocol.signing import Signer, nonce_v1
from app.storage.__main__ import run as prepare_database
from lab.embedded.attestation import attestation_proxy
from lab.embedded.cluster import NodeCluster
from lab.embedded.kubelet import SimulatedKubelet
from lab.embedded.model import SimulatedNode
from lab.embedded.programs import Identity, Programs
from lab.services.postgres import EmbeddedPostgres, temporary_folder
from lab.services.redis import EmbeddedRedis
from lab.validator.app import SimulatedValidator

DATABASE: Final = "chutes"
_ADD_SECONDS: Final = 120.0
_READY_SECONDS: Final = 90.0
_POLL_SECONDS: Final = 0.2
_COMPLETED: Final = "completed server bootstrapping in"

Say = Callable[[str], None]


@dataclass
class EmbeddedFleet:
    """What runs. `say` is told each step."""

    folder: Path
    validator: SimulatedValidator
    programs: Programs
    signer: Signer
    clusters: dict[str, NodeCluster]
    say: Say
    _stack: contextlib.AsyncExitStack

    async def add_node(self, node: SimulatedNode) -> None:
        """A further node: its cluster, its agent, its registration with the miner API.

        Raises:
            RuntimeError: the miner API did not admit it; the message holds what it said.
        """
        cluster = NodeCluster(node, self.folder / "nodes" / node.name)
        cluster.server.start()
        self._stack.callback(cluster.server.stop)
        await cluster.prepare(datetime.datetime.now(datetime.UTC))
        pods = self.folder / "pods" / node.name
        pods.mkdir(parents=True, exist_ok=True)
        kubelet = asyncio.create_task(SimulatedKubelet(cluster, pods).run(), name=f"kubelet {node.name}")
        self._stack.push_async_callback(_cancelled, kubelet)
        await self._stack.enter_async_context(attestation_proxy(node, cluster.server.folder))
        agent = self.programs.start_agent(cluster)
        await answers(f"{agent}/ping", self.programs)
        self.clusters[node.name] = cluster
        self.say(f"{node.name}: cluster and agent run; registering")
        await self._register(node, agent)

    async def _register(self, node: SimulatedNode, agent: str) -> None:
        body = {
            "name": node.name,
            "validator": self.validator.state.hotkey,
            "hourly_cost": node.hourly_cost_usd,
            "gpu_short_ref": node.gpu,
            "agent_api": agent,
        }
        content = orjson.dumps(body)
        headers = dict(self.signer.management_headers(nonce_v1(time.time()), purpose=None, body=content))
        headers["Content-Type"] = "application/json"
        said = "nothing"
        async with (
            httpx.AsyncClient(timeout=_ADD_SECONDS, trust_env=False) as http,
            http.stream("POST", f"{self.programs.api_url}/servers/", content=content, headers=headers) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise RuntimeError(f"{node.name} was refused: {answer.status_code} {(await answer.aread())[:500]!r}")
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    said = str(orjson.loads(line[6:])["message"])
                    self.say(f"{node.name}: {said}")
        if not said.startswith(_COMPLETED):
            raise RuntimeError(f"{node.name} was not admitted: {said}")


@asynccontextmanager
async def embedded_fleet(
    folder: Path, keys: Mapping[str, str], nodes: Sequence[SimulatedNode], say: Say = print
) -> AsyncIterator[EmbeddedFleet]:
    """The fleet, up and registered.

    Args:
        folder: logs, clusters, keys; made by the caller, mode 0700.
        keys: throw-away keys: `ss58` and `seed` of the miner, `validator` the address of the validator.

    Raises:
        RuntimeError: a part did not come up; the message says which, and the end of its log.
    """
    async with contextlib.AsyncExitStack() as stack:
        database = temporary_folder()  # one that the server's own user can enter
        stack.callback(shutil.rmtree, database, ignore_errors=True)
        postgres = stack.enter_context(EmbeddedPostgres(database))
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        postgres.create_database(DATABASE)
        say("PostgreSQL and Redis run")
        validator = await stack.enter_async_context(SimulatedValidator(keys["validator"]).listening())
        say(f"SIMULATED validator at {validator.url}")
        await prepare_database("migrate", postgres.url(DATABASE), keys["validator"])
        names = (keys["validator"], validator.url)
        identity = Identity(keys["ss58"], keys["seed"], names, postgres.url(DATABASE), redis.url)
        programs = Programs(folder / "programs", identity)
        stack.callback(programs.stop)
        programs.start_control_plane()
        for url in (f"{programs.api_url}/ping", f"{programs.monitor_url}/health", f"{programs.gepetto_url}/ping"):
            await answers(url, programs)
        say(f"miner API {programs.api_url}, monitor {programs.monitor_url}, Gepetto {programs.gepetto_url}")
        signer = Signer.from_seed(keys["seed"])
        fleet = EmbeddedFleet(folder, validator, programs, signer, {}, say, stack)
        try:
            for node in nodes:
                await fleet.add_node(node)
            yield fleet
        finally:
            programs.stop()  # first: an API server that is asked to end waits for those who watch it


async def answers(url: str, programs: Programs) -> None:
    """Wait until a URL answers with success.

    Raises:
        RuntimeError: it did not in time, or a program ended.
    """
    deadline = time.monotonic() + _READY_SECONDS
    seen = "nothing"
    async with httpx.AsyncClient(timeout=5.0, trust_env=False) as http:
        while time.monotonic() < deadline:
            programs.raise_if_ended()
            try:
                (await http.get(url)).raise_for_status()
            except httpx.HTTPError as error:
                seen = repr(error)
                await asyncio.sleep(_POLL_SECONDS)
            else:
                return
    raise RuntimeError(f"{url} did not answer in {_READY_SECONDS:.0f} s; last seen: {seen}")


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
