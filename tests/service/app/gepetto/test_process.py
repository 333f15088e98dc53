"""The whole program: `python -m app.gepetto` from its environment alone, on real stores and a real API server.

Only three things are acted: the validator and the chute are the lab's SIMULATED ones, and the test is the kubelet.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.protocol import labels
from app.protocol.cluster_access import open_client, parse_kubeconfig
from app.protocol.events import Reason
from app.validators.feed import Feed, Waits
from app.validators.intake import Intake
from lab.chute.launch import PodEnvironment, launch
from lab.kubernetes.apiserver import LocalApiServer
from lab.services.redis import EmbeddedRedis, free_port
from lab.validator import scenarios
from lab.validator.app import SimulatedValidator
from tests.support.agents import portable_kubeconfig
from tests.support.confinement import confined_program, run_confined
from tests.support.control import MINER, VALIDATOR, entry_of, throwaway_seed
from tests.support.waiting import running, until

pytestmark = pytest.mark.service

NODE, SERVER_ID, ADDRESS = "simulated-gpu-0", "server-of-the-test", "192.0.2.10"
GPUS = tuple(f"{index:032x}" for index in range(2))
PATIENCE_SECONDS = 60.0
STRATEGY = Path("docs/strategies/weighted.py").read_text()


@contextlib.asynccontextmanager
async def program(module: str, port: int, environment: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """A program of ours as its container starts it; it must end by itself within seconds of a SIGTERM."""
    values = {"PATH": os.environ["PATH"]} | environment
    values |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, env=values)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            await until(lambda: answers(client, "/ping"), seconds=PATIENCE_SECONDS, every=0.1)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 30)
    assert code in {0, -signal.SIGTERM}


@contextlib.asynccontextmanager
async def confined(port: int, folder: Path, environment: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """Gepetto as its container runs it: another user, a read-only root, one folder for scratch, an end when told."""
    async with (
        confined_program("app.gepetto", folder, environment),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        await until(lambda: answers(client, "/ping"), seconds=PATIENCE_SECONDS, every=0.1)
        yield client


async def answers(client: httpx.AsyncClient, path: str) -> bool:
    try:
        return (await client.get(path)).status_code == 200
    except httpx.HTTPError:
        return False


class Kubelet:
    """SIMULATED: reports a node, runs a Job's chute in this process, and lets its pods go."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def report_node(self) -> None:
        for path, body in (
            ("/api/v1/namespaces", {"metadata": {"name": labels.CHUTES_NAMESPACE}}),
            ("/apis/node.k8s.io/v1/runtimeclasses", {"metadata": {"name": "nvidia"}, "handler": "nvidia"}),
            ("/api/v1/nodes", {"metadata": {"name": NODE, "labels": {labels.SIMULATED: "true"}}}),
        ):
            assert (await self.http.post(path, json=body)).status_code in {201, 409}
        capacity = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "500Gi", "pods": "110"}
        await self.patch(f"/api/v1/nodes/{NODE}/status", {"status": {"capacity": capacity, "allocatable": capacity}})

    async def patch(self, path: str, body: dict[str, Any]) -> None:
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = await self.http.patch(path, content=orjson.dumps(body), headers=headers)
        assert answer.status_code == 200, answer.text

    async def items(self, kind: str, base: str = "/api/v1") -> list[dict[str, Any]]:
        answer = await self.http.get(f"{base}/namespaces/{labels.CHUTES_NAMESPACE}/{kind}")
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    async def jobs(self) -> list[dict[str, Any]]:
        return await self.items("jobs", "/apis/batch/v1")

    async def run_chute(self) -> str:
        """The pod's side of the launch with exactly the environment that the Job gives; returns the instance's id."""
        (job,) = await self.jobs()
        pod = job["spec"]["template"]["spec"]
        assert pod["nodeName"] == NODE
        environment = {item["name"]: item["value"] for item in pod["containers"][0]["env"]}
        (service,) = [item for item in await self.items("services") if item["spec"]["type"] == "NodePort"]
        node_ports = {port["port"]: str(port["nodePort"]) for port in service["spec"]["ports"]}
        assert environment["CHUTES_PORT_PRIMARY"] == node_ports[8000]
        assert environment["CHUTES_PORT_LOGGING"] == node_ports[8001]
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await launch(PodEnvironment.read(environment), http)).instance_id

    async def let_go(self) -> None:
        """Confirm the end of pods that are to go, again and again, as a kubelet does."""
        while True:
            for pod in await self.items("pods"):
                if pod["metadata"].get("deletionTimestamp"):
                    path = f"/api/v1/namespaces/{labels.CHUTES_NAMESPACE}/pods/{pod['metadata']['name']}"
                    await self.http.request("DELETE", path, json={"gracePeriodSeconds": 0})
            await asyncio.sleep(0.2)


@pytest.fixture
async def kubelet(api_server: LocalApiServer) -> AsyncIterator[Kubelet]:
    async with open_client(parse_kubeconfig(portable_kubeconfig(api_server, NODE))) as http:
        kubelet = Kubelet(http)
        await kubelet.report_node()
        yield kubelet


@pytest.fixture
async def validator() -> AsyncIterator[SimulatedValidator]:
    async with SimulatedValidator(VALIDATOR.ss58).listening() as validator:
        validator.state.servers[SERVER_ID] = {
            "server_id": SERVER_ID, "name": NODE, "ip": ADDRESS, "is_tee": False, "version": None,
            "maintenance_pending": False, "created_at": validator.state.now_iso(),
            "updated_at": validator.state.now_iso(), "miner_hotkey": MINER.ss58,
        }  # fmt: skip
        for index, gpu in enumerate(GPUS):
            validator.state.nodes[gpu] = {
                "uuid": gpu, "miner_hotkey": MINER.ss58, "server_id": SERVER_ID, "verification_host": ADDRESS,
                "gpu_identifier": "h100_sxm", "device_index": index, "verified_at": validator.state.now_iso(),
                "verification_error": None,
            }  # fmt: skip
        yield validator


async def add_server(engine: AsyncEngine, kubeconfig: str) -> None:
    """A registered node with its GPUs, as the miner API leaves it in the database."""
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO servers (server_id, validator, name, ip_address, labels, gpu_count, cpu_per_gpu,"
                " memory_per_gpu, hourly_cost, locked, is_tee, kubeconfig)"
                " VALUES (:id, :validator, :name, :address, '{}', 2, 1, 1, 1.0, false, false, :kubeconfig)"
            ),
            {"id": SERVER_ID, "validator": VALIDATOR.ss58, "name": NODE, "address": ADDRESS, "kubeconfig": kubeconfig},
        )
        for gpu in GPUS:
            await connection.execute(
                text(
                    "INSERT INTO gpus (gpu_id, validator, server_id, device_info, model_short_ref, verified)"
                    " VALUES (:gpu, :validator, :id, '{}', 'h100_sxm', true)"
                ),
                {"gpu": gpu, "validator": VALIDATOR.ss58, "id": SERVER_ID},
            )


def feed_of(validator: SimulatedValidator, intake: Intake) -> Feed:
    async def on_ready() -> None:
        return

    def on_message(message: object) -> None:
        intake.take(message, validator=VALIDATOR.ss58)

    return Feed(
        entry_of(validator), MINER, on_message=on_message,
        on_ready=on_ready, clock=time.time, random=lambda: 0.5, waits=Waits(0.05, 0.2, 0.1),
    )  # fmt: skip


async def ignore_gap() -> None:
    return


async def deployment(engine: AsyncEngine) -> dict[str, Any]:
    async with engine.connect() as connection:
        row = (await connection.execute(text("SELECT * FROM deployments"))).mappings().first()
    return dict(row) if row else {}


async def test_a_chute_that_is_announced_becomes_an_active_instance_and_goes_when_the_validator_says_so(
    engine: AsyncEngine,
    database_url: str,
    redis: Redis,
    redis_server: EmbeddedRedis,
    api_server: LocalApiServer,
    kubelet: Kubelet,
    validator: SimulatedValidator,
    tmp_path: Path,
) -> None:
    await add_server(engine, portable_kubeconfig(api_server, NODE))
    entry = entry_of(validator).model_dump(mode="json")
    common = {
        "MINER_SS58": MINER.ss58, "MINER_SEED": throwaway_seed("miner"), "REDIS_URL": redis_server.url,
        "POSTGRESQL": database_url,
    }  # fmt: skip
    monitor_port, port = free_port(), free_port()
    monitor = program("app.observe", monitor_port, common | {"PORT": str(monitor_port), "OBSERVATION_MODE": "pull"})
    gepetto = confined(
        port,
        tmp_path,
        common
        | {
            "VALIDATORS": orjson.dumps({"supported": [entry]}).decode(),
            "GEPETTO_PORT": str(port),
            "CHUTE_SHUTDOWN_TIME_SECONDS": "5",
            "GEPETTO_FILE": str(tmp_path / "gepetto.py"),
        },
    )
    (tmp_path / "gepetto.py").write_text(STRATEGY)
    intake = Intake(redis, MINER.ss58, on_gap=ignore_gap)
    feed = feed_of(validator, intake)
    async with monitor, gepetto as client, running(intake.deliver(), feed.run(), kubelet.let_go()):
        chute_id = validator.state.add_chute("simulated-whisper", supported_gpus=("h100_sxm",))
        validator.state.capacity[chute_id] = 1
        validator.state.utilization[chute_id] = {"scale_allowance": 1}
        await until(lambda: validator.feed.sessions)
        await scenarios.announce(validator, chute_id, Reason.CHUTE_CREATED)
        await until(lambda: answers(client, "/ready"), seconds=PATIENCE_SECONDS)
        await until(kubelet.jobs, seconds=PATIENCE_SECONDS, every=0.2)
        instance_id = await kubelet.run_chute()

        async def is_active() -> bool:
            row = await deployment(engine)
            return bool(row.get("active")) and row["instance_id"] == instance_id and row["verified_at"] is not None

        await until(is_active, seconds=PATIENCE_SECONDS, every=0.2)
        assert (await client.get("/ready")).json()["decider"] == "file gepetto.py"
        snapshot = (await client.get("/snapshot")).json()
        assert snapshot["servers"][0]["disk_free_gb"] <= 480
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE servers SET locked = true"))
        await scenarios.delete_instance(validator, instance_id)

        async def is_gone() -> bool:
            return not await kubelet.jobs() and not await deployment(engine)

        await until(is_gone, seconds=PATIENCE_SECONDS, every=0.2)


async def test_without_settings_it_names_them_and_shows_no_value(tmp_path: Path) -> None:
    code, output = await run_confined("app.gepetto", tmp_path, {"MINER_SEED": "not to be shown"})
    assert code == 2
    assert "POSTGRESQL, VALIDATORS, MINER_SS58" in output
    assert "not to be shown" not in output


async def test_it_answers_probes_and_ends_when_told_while_its_database_is_away(
    redis_server: EmbeddedRedis, validator: SimulatedValidator, tmp_path: Path
) -> None:
    port, entry = free_port(), entry_of(validator).model_dump(mode="json")
    environment = {
        "MINER_SS58": MINER.ss58, "MINER_SEED": throwaway_seed("miner"), "REDIS_URL": redis_server.url,
        "POSTGRESQL": "postgresql+asyncpg://nobody@127.0.0.1:1/nothing", "GEPETTO_PORT": str(port),
        "VALIDATORS": orjson.dumps({"supported": [entry]}).decode(),
    }  # fmt: skip
    async with confined(port, tmp_path, environment) as client:
        found = (await client.get("/ready")).json()
        assert (found["leader"], found["decision_age_seconds"]) == (False, None)
        assert (await client.get("/explain", params={"chute": "any"})).status_code == 503


async def test_a_wrong_configuration_is_named_before_anything_is_touched(tmp_path: Path) -> None:
    config = tmp_path / "gepetto.yaml"
    config.write_text("stratgy: conservative")
    environment = {
        "MINER_SS58": MINER.ss58, "MINER_SEED": throwaway_seed("miner"), "VALIDATORS": '{"supported": []}',
        "POSTGRESQL": "postgresql+asyncpg://nobody@127.0.0.1:1/nothing", "GEPETTO_CONFIG": str(config),
    }  # fmt: skip
    code, output = await run_confined("app.gepetto", tmp_path, environment)
    assert code == 2
    assert "stratgy" in output
    assert "gepetto-config" in output
