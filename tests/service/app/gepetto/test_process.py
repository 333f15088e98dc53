"""The whole program: `python -m app.gepetto` from its environment alone, on real stores and a real API server.

Only three things are acted: the validator and the chute are the lab's SIMULATED ones, and the test is the kubelet.
The launch's key is a real one of GraVal, which the pod's SIMULATED GPUs earn on the CPU.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.protocol.cluster_access import open_client, parse_kubeconfig
from app.protocol.events import Reason
from app.storage.sealing import Vault
from app.validators.feed import Feed, Waits
from app.validators.intake import Intake
from lab.chute.launch import launch
from lab.chute.proof import Parties
from lab.kubernetes.apiserver import LocalApiServer
from lab.services.redis import EmbeddedRedis, free_port
from lab.validator import scenarios
from lab.validator.app import SimulatedValidator
from lab.validator.proving import GravalProver
from tests.support.agents import portable_kubeconfig
from tests.support.confinement import run_confined
from tests.support.control import MINER, VALIDATOR, entry_of, throwaway_seed
from tests.support.gepetto_program import (
    ADDRESS,
    GPUS,
    NODE,
    PATIENCE_SECONDS,
    SERVER_ID,
    Kubelet,
    answers,
    confined,
    program,
    register,
)  # fmt: skip
from tests.support.waiting import running, until

pytestmark = pytest.mark.service

VAULT = Vault.of_seed(throwaway_seed("miner"))
STRATEGY = Path("docs/strategies/weighted.py").read_text()


@pytest.fixture
async def kubelet(api_server: LocalApiServer) -> AsyncIterator[Kubelet]:
    async with open_client(parse_kubeconfig(portable_kubeconfig(api_server, NODE))) as http:
        kubelet = Kubelet(http)
        await kubelet.report_node()
        yield kubelet


@pytest.fixture
async def validator() -> AsyncIterator[SimulatedValidator]:
    """It locks every launch's key as on the subnet: only the work of the pod's GPUs opens it (here on the CPU)."""
    simulated = SimulatedValidator(VALIDATOR.ss58, graval=GravalProver(VALIDATOR))
    async with simulated.listening() as validator:
        register(validator)
        yield validator


async def add_server(engine: AsyncEngine, kubeconfig: str) -> None:
    """A registered node with its GPUs, as the miner API leaves it in the database."""
    sealed = VAULT.seal(SERVER_ID, kubeconfig)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO servers (server_id, validator, name, ip_address, labels, gpu_count, cpu_per_gpu,"
                " memory_per_gpu, hourly_cost, locked, is_tee, kubeconfig)"
                " VALUES (:id, :validator, :name, :address, '{}', 2, 1, 1, 1.0, false, false, :kubeconfig)"
            ),
            {"id": SERVER_ID, "validator": VALIDATOR.ss58, "name": NODE, "address": ADDRESS, "kubeconfig": sealed},
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


async def claim_without_work(kubelet: Kubelet, validator: SimulatedValidator) -> None:
    """A pod that offers no work of its GPUs is refused, and so is one whose GPUs are not the registered ones."""
    pod, _ = await kubelet.pod()
    claim = {"gpus": [{"uuid": gpu} for gpu in pod.gpu_ids], "host": ADDRESS, "port_mappings": pod.mappings()}
    async with httpx.AsyncClient(trust_env=False) as http:
        url, headers = f"{pod.claims()['url']}/graval", {"Authorization": pod.token}
        refused = await http.post(url, json=claim, headers=headers)
        assert (refused.status_code, "graval_offers" in refused.text) == (400, True)
        as_another = replace(pod, product="SIMULATED-NVIDIA-L40S")
        with pytest.raises(httpx.HTTPStatusError, match="400"):
            await launch(as_another, http, Parties(MINER.ss58, VALIDATOR.ss58))
    assert validator.state.instances == {}


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
        await claim_without_work(kubelet, validator)
        instance_id = await kubelet.run_chute()
        (config,) = validator.state.configs.values()
        assert config.symmetric_key is not None  # locked: without the work on those GPUs nobody could have answered

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
