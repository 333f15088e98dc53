"""A bare node from add-node to a running chute: two proofs, launch, activation. Its GPUs are SIMULATED."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy import text

from app.protocol.servers import DeviceInfo
from app.protocol.wire import driver_gpu_id
from lab.chute.launch import PodEnvironment, launch
from lab.chute.proof import Parties
from lab.kubernetes.apiserver import LocalApiServer
from lab.services.redis import EmbeddedRedis
from lab.validator.app import SimulatedValidator
from lab.validator.faults import Fault, FaultKind
from lab.validator.machines import PROVER
from lab.validator.proving import GravalProver
from tests.support.agents import portable_kubeconfig
from tests.support.api import ApiClient, client_for, running_app, settings
from tests.support.control import MINER, STRANGER, VALIDATOR, client_of, entry_of
from tests.support.graval_node import ADDRESS, PRODUCT, GravalNode, graval_node
from tests.support.worker import SimulatedWorker

pytestmark = pytest.mark.service
NAME = "bare-node-1"
COMPLETED = "completed server bootstrapping in"


@dataclass
class Lab:
    """Everything that an add-node of a bare node touches."""

    app: FastAPI
    client: ApiClient
    validator: SimulatedValidator
    node: GravalNode
    worker: SimulatedWorker
    kubeconfig: str

    async def add(self) -> list[str]:
        """The messages of one add-node."""
        body = {
            "name": NAME, "validator": VALIDATOR.ss58, "hourly_cost": 2.0, "gpu_short_ref": "h100_sxm", "kind": "bare",
            "agent_api": self.worker.agent_url, "kubeconfig": self.kubeconfig,
        }  # fmt: skip
        answer = await self.client.send("POST", "/servers/", body)
        assert answer.status_code == 200, answer.text
        return [orjson.loads(line[6:])["message"] for line in answer.text.split("\n") if line.strip()]

    async def rows(self, statement: str) -> list[object]:
        async with self.app.state.services.engine.connect() as connection:
            return list((await connection.execute(text(statement))).scalars())


@pytest.fixture
async def lab(
    database_url: str,
    redis: Redis,
    redis_server: EmbeddedRedis,
    api_server: LocalApiServer,
    tmp_path: Path,
) -> AsyncIterator[Lab]:
    kubeconfig = portable_kubeconfig(api_server, NAME)
    async with contextlib.AsyncExitStack() as stack:
        node = await stack.enter_async_context(graval_node(kubeconfig, NAME, tmp_path))
        await node.report()
        simulated = SimulatedValidator(VALIDATOR.ss58, graval=GravalProver(VALIDATOR))
        validator = await stack.enter_async_context(simulated.listening())
        worker = await stack.enter_async_context(SimulatedWorker("127.9.0.1", is_tee=False).listening(tmp_path))
        config = settings(
            database_url, redis_server.url, validator=entry_of(validator),
            graval_bootstrap_image="registry.invalid/graval:1", graval_simulated=True, graval_bootstrap_timeout=20,
        )  # fmt: skip
        app = await stack.enter_async_context(running_app(config))
        client = await stack.enter_async_context(client_for(app))
        yield Lab(app, client, validator, node, worker, kubeconfig)


async def test_a_bare_node_proves_its_gpus_to_us_and_to_the_validator_and_then_runs_a_chute(lab: Lab) -> None:
    messages = await lab.add()
    assert messages[-1].startswith(COMPLETED), messages
    assert any("2 of them SIMULATED, which proves no GPU; their times were not judged" in line for line in messages)
    (stored, _) = await lab.rows("SELECT device_info FROM gpus g JOIN servers s USING (server_id) "
                                 "WHERE g.verified AND s.name = 'bare-node-1'")  # fmt: skip
    device = DeviceInfo.model_validate(stored)
    proof = (device.model_extra or {})["proof"]
    assert (proof["protocol"], proof["simulated"], proof["times_judged"]) == ("ogv1", True, False)
    assert set(proof["elapsed_seconds"]) == {"dense", "fill", "bandwidth", "compute", "chase"}
    gpus = [gpu for gpu in lab.validator.state.nodes.values() if gpu["miner_hotkey"] == MINER.ss58]
    assert [gpu["verification"] for gpu in gpus] == ["ogv1, SIMULATED device"] * 2
    assert all(gpu["verified_at"] for gpu in gpus)
    assert set(lab.node.started[0]["VALIDATOR_WHITELIST"].split(",")) == {VALIDATOR.ss58, MINER.ss58}
    assert await lab.node.leftovers() == []
    await launch_on(lab, [str(gpu["uuid"]) for gpu in gpus])


async def launch_on(lab: Lab, gpus: list[str]) -> None:
    chute_id = lab.validator.state.add_chute("proved", gpu_count=1, supported_gpus=("h100_sxm",))
    async with httpx.AsyncClient() as http:
        validator = client_of(lab.validator, http)

        async def pod(**changes: str) -> PodEnvironment:
            environment = {
                "CHUTES_LAUNCH_JWT": (await validator.launch_config(chute_id)).token, "CHUTES_EXTERNAL_HOST": ADDRESS,
                "CHUTES_NVIDIA_DEVICES": driver_gpu_id(gpus[0]), "CHUTES_PORT_PRIMARY": "31000",
                "HEADFRAME_SIMULATED_PRODUCT": PRODUCT,
            }  # fmt: skip
            return PodEnvironment.read(environment | changes)

        parties = Parties(MINER.ss58, VALIDATOR.ss58)
        with pytest.raises(httpx.HTTPStatusError, match="400"):  # as another model than the registered one
            await launch(await pod(HEADFRAME_SIMULATED_PRODUCT="SIMULATED-NVIDIA-L40S"), http, parties)
        silent = await pod()
        claim = {"gpus": [{"uuid": gpus[0]}], "host": ADDRESS, "port_mappings": silent.mappings()}
        headers = {"Authorization": silent.token}
        refused = await http.post(f"{silent.claims()['url']}/graval", json=claim, headers=headers)
        assert (refused.status_code, "graval_offers" in refused.text) == (400, True)
        assert lab.validator.state.instances == {}
        launched = await launch(await pod(), http, parties)
        assert lab.validator.state.instances[launched.instance_id]["active"]
        other = await pod(CHUTES_NVIDIA_DEVICES=driver_gpu_id(gpus[1]))
        with pytest.raises(ValueError, match=r"does not open|tag"):  # the work is bound to the miner
            await launch(other, http, Parties(STRANGER.ss58, VALIDATOR.ss58))


async def failure_of(lab: Lab) -> str:
    """The reason of a failed add-node, after which nothing is left anywhere."""
    messages = await lab.add()
    assert not any(message.startswith(COMPLETED) for message in messages)
    assert await lab.rows(f"SELECT name FROM servers WHERE name = '{NAME}'") == []
    assert await lab.node.leftovers() == []
    assert lab.validator.state.servers == {}
    return next(message for message in messages if message.startswith("failed"))


async def test_a_pod_that_crashes_or_never_starts_is_named_and_cleared(lab: Lab) -> None:
    lab.node.fate = "fail"
    assert "the bootstrap pod failed: BackoffLimitExceeded it crashed" in await failure_of(lab)
    lab.node.fate = "wait"
    config = lab.app.state.services.settings.model_copy(update={"graval_bootstrap_timeout": 0.5})
    object.__setattr__(lab.app.state.services.graval, "settings", config)
    assert "was not ready within 0 s: no pod" in await failure_of(lab)


async def test_simulated_gpus_are_refused_outside_a_lab(lab: Lab) -> None:
    config = lab.app.state.services.settings.model_copy(update={"graval_simulated": False})
    object.__setattr__(lab.app.state.services.graval, "settings", config)
    assert "the node's GPUs are simulated" in await failure_of(lab)
    config = config.model_copy(update={"graval_bootstrap_image": None})
    object.__setattr__(lab.app.state.services.graval, "settings", config)
    assert "GRAVAL_BOOTSTRAP_IMAGE is not set" in await failure_of(lab)


async def test_a_node_that_lacks_a_gpu_is_not_advertised(lab: Lab) -> None:
    lab.node.device_ids.pop()
    assert "GraVal found 1 GPUs, the node's label says 2" in await failure_of(lab)
    assert not [line for line in lab.validator.state.asked if line.path == "/nodes/"]


async def test_a_node_with_chutes_is_left_alone(lab: Lab) -> None:
    path = "/api/v1/namespaces/chutes/pods"
    pod = {
        "metadata": {"name": "chute-1", "labels": {"chutes/chute": "true"}},
        "spec": {"containers": [{"name": "chute", "image": "registry.invalid/x:1"}]},
    }
    assert (await lab.node.http.post(path, json=pod)).status_code == 201
    try:
        assert "1 chutes run on bare-node-1: undeploy them first" in await failure_of(lab)
    finally:
        await lab.node.http.request("DELETE", f"{path}/chute-1", json={"gracePeriodSeconds": 0})


async def test_a_proof_that_the_validator_does_not_accept_leaves_nothing(lab: Lab) -> None:
    async def refuse(miner: str, gpus: list[dict[str, object]]) -> str | None:
        return f"{len(gpus)} GPUs of {miner[:4]} were too slow"

    lab.validator.app._state[PROVER] = refuse
    assert "2 GPUs of" in await failure_of(lab)


async def test_a_validator_that_knows_no_servers_forgets_the_gpus_one_by_one(lab: Lab) -> None:
    async def refuse(miner: str, gpus: list[dict[str, object]]) -> str | None:
        return "too slow"

    lab.validator.app._state[PROVER] = refuse
    lab.validator.faults.add(Fault("DELETE /servers/*", FaultKind.REFUSE, status=404, times=None))
    assert "too slow" in next(message for message in await lab.add() if message.startswith("failed"))
    assert lab.validator.state.nodes == {}


async def test_what_a_killed_attempt_left_is_cleared_before_the_next(lab: Lab) -> None:
    path = "/api/v1/namespaces/chutes/services"
    old = {
        "metadata": {"name": f"graval-svc-{NAME}", "labels": {"graval-node": NAME}},
        "spec": {"type": "NodePort", "ports": [{"port": 8000}]},
    }
    assert (await lab.node.http.post(path, json=old)).status_code == 201
    assert (await lab.add())[-1].startswith(COMPLETED)
