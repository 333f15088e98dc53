"""The lab's validator keeps to the protocol and says what it is; the stand-in chute goes the whole way to active."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from app.protocol.servers import DeviceInfo, ServerRegistration, registered_gpus
from app.protocol.signing import Purpose
from app.protocol.wire import driver_gpu_id
from app.validators.client import ValidatorClient
from app.validators.errors import RefusedError
from app.validators.transport import new_http_client
from lab.chute.launch import PodEnvironment, launch
from lab.chute.server import ChuteServer
from lab.validator.app import SimulatedValidator
from lab.validator.scenarios import BOUNTY_BOOST, RISEN_TARGET, SCENARIOS, delete_instance
from lab.validator.web import SIMULATED_HEADER
from tests.support.control import MINER, VALIDATOR, client_of, device
from tests.support.waiting import until

pytestmark = pytest.mark.service


@pytest.fixture
async def validator() -> AsyncIterator[SimulatedValidator]:
    async with SimulatedValidator(VALIDATOR.ss58).listening() as validator:
        yield validator


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with new_http_client() as http:
        yield http


@pytest.fixture
async def client(validator: SimulatedValidator, http: httpx.AsyncClient) -> ValidatorClient:
    client = client_of(validator, http)
    gpus = registered_gpus([DeviceInfo.model_validate(device(i)) for i in range(2)], "h100_sxm", "192.0.2.1", 30443)
    await client.register_server(ServerRegistration(host="192.0.2.1", id="s", name="n", gpus=gpus))
    return client


async def pod_environment(
    client: ValidatorClient, validator: SimulatedValidator, *, tee: bool = False, gpu: int = 0
) -> dict[str, str]:
    chute_id = validator.state.add_chute("a", tee=tee)
    config = await client.launch_config(chute_id)
    return {
        "CHUTES_LAUNCH_JWT": config.token, "CHUTES_EXTERNAL_HOST": "192.0.2.1",
        "CHUTES_NVIDIA_DEVICES": driver_gpu_id(str(device(gpu)["uuid"])), "CHUTES_PORT_PRIMARY": "31000",
        "CHUTES_PORT_LOGGING": "31001", "CHUTES_PORT_TCP_2222": "31002",
    }  # fmt: skip


async def test_every_answer_says_that_it_is_simulated(validator: SimulatedValidator, http: httpx.AsyncClient) -> None:
    for path in ("/nodes/supported", "/miner/chutes/", "/nowhere"):
        answer = await http.get(validator.url + path)
        assert answer.headers.get(SIMULATED_HEADER) == "true" or answer.status_code == 404
    assert "SIMULATED" in (await http.get(validator.url)).text


@pytest.mark.parametrize("tee", [False, True])
async def test_a_stand_in_chute_claims_verifies_activates_and_answers(
    validator: SimulatedValidator, client: ValidatorClient, http: httpx.AsyncClient, tee: bool
) -> None:
    pod = PodEnvironment.read(await pod_environment(client, validator, tee=tee))
    async with ChuteServer("a").listening("127.0.0.1", (0, 0)) as server:
        address = f"http://127.0.0.1:{server.ports[0]}"
        assert (await http.post(address + "/chat")).status_code == 503
        launched = await launch(pod, http)
        server.is_active = True
        answer = (await http.post(address + "/chat", content=b"hello")).json()
        assert (answer["simulated"], answer["received_bytes"]) == (True, 5)
        assert (await http.get(f"http://127.0.0.1:{server.ports[1]}/_alive")).json()["alive"] is True
        assert "invocation_total" in (await http.get(address + "/_metrics")).text
        assert "1 requests" in (await http.get(address + "/logs")).text
    instance = validator.state.instances[launched.instance_id]
    assert (instance["active"], instance["verified"]) == (True, True)
    told = [sent["message"]["reason"] for sent in validator.state.sent if isinstance(sent["message"], dict)]
    assert told[-3:] == ["instance_created", "instance_verified", "instance_activated"]
    assert {"proto": "tcp", "internal_port": 2222, "external_port": 31002, "default": False} in instance[
        "port_mappings"
    ]  # type: ignore[operator]


async def test_a_token_is_claimed_once_and_a_gpu_used_once(
    validator: SimulatedValidator, client: ValidatorClient, http: httpx.AsyncClient
) -> None:
    pod = PodEnvironment.read(await pod_environment(client, validator))
    await launch(pod, http)
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await launch(pod, http)
    other = PodEnvironment.read(await pod_environment(client, validator))
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await launch(other, http)


async def test_a_host_that_is_not_the_registered_one_is_refused(
    validator: SimulatedValidator, client: ValidatorClient, http: httpx.AsyncClient
) -> None:
    environment = await pod_environment(client, validator) | {"CHUTES_EXTERNAL_HOST": "192.0.2.9"}
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        await launch(PodEnvironment.read(environment), http)


async def test_the_stand_in_chute_runs_as_a_pod_runs_it(validator: SimulatedValidator, client: ValidatorClient) -> None:
    environment = os.environ | await pod_environment(client, validator)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lab.chute", "run", "a:chute", "--port", "0", "--logging-port", "0", "--miner-ss58",
        MINER.ss58, env=environment, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert b"SIMULATED chute a:chute" in await process.stdout.readline()
            assert b"is active" in await process.stdout.readline()
    finally:
        process.terminate()
        assert await process.wait() == 0


def test_a_pod_without_its_variables_says_which() -> None:
    with pytest.raises(ValueError, match="lacks CHUTES_LAUNCH_JWT, CHUTES_EXTERNAL_HOST"):
        PodEnvironment.read({"CHUTES_NVIDIA_DEVICES": "x", "CHUTES_PORT_PRIMARY": "1"})


async def test_capacity_and_jobs_are_rationed(validator: SimulatedValidator, client: ValidatorClient) -> None:
    chute_id = validator.state.add_chute("a")
    await SCENARIOS["job"](validator)
    job_id = next(iter(validator.state.jobs))
    await client.launch_config(chute_id, job_id=job_id)
    with pytest.raises(RefusedError, match="already attempted"):
        await client.launch_config(chute_id, job_id=job_id)
    assert await client.release_job(job_id)
    validator.state.capacity[chute_id] = 0
    with pytest.raises(RefusedError) as full:
        await client.launch_config(chute_id)
    assert full.value.status == 423


async def test_scenarios_change_what_is_served(
    validator: SimulatedValidator, client: ValidatorClient, http: httpx.AsyncClient
) -> None:
    await SCENARIOS["steady_demand"](validator)
    pod_chute = next(c for c in validator.state.chutes.values() if c["name"] == "simulated-whisper")
    config = await client.launch_config(str(pod_chute["chute_id"]))
    environment = {
        "CHUTES_LAUNCH_JWT": config.token, "CHUTES_EXTERNAL_HOST": "192.0.2.1", "CHUTES_PORT_PRIMARY": "1",
        "CHUTES_NVIDIA_DEVICES": str(device(0)["uuid"]),
    }  # fmt: skip
    launched = await launch(PodEnvironment.read(environment), http)
    await SCENARIOS["bounty"](validator)
    await SCENARIOS["rolling_update"](validator)
    assert len(await client.rolling_updates()) == 1
    assert validator.state.bounties
    assert [item.instance_id for item in await client.active_instances()] == [launched.instance_id]
    await delete_instance(validator, launched.instance_id)
    assert (await client.instances()).items == {}
    await SCENARIOS["delete_chute"](validator)
    assert len((await client.chutes()).items) == 2
    await SCENARIOS["refusals"](validator)
    statuses = []
    for _ in range(3):
        with pytest.raises(RefusedError) as refused:
            await client.launch_config("x")
        statuses.append(refused.value.status)
    assert statuses == [423, 409, 403]


async def test_an_outage_is_scripted_over_http_and_ends(
    validator: SimulatedValidator, client: ValidatorClient, http: httpx.AsyncClient
) -> None:
    assert (await http.post(validator.url + "/lab/scenarios/nothing")).status_code == 404
    rule = {"pattern": "GET /miner/servers/", "kind": "refuse", "status": 418, "times": None}
    await http.post(validator.url + "/lab/faults", json=rule)
    with pytest.raises(RefusedError, match="418"):
        await client.servers()
    await http.delete(validator.url + "/lab/faults")
    assert await client.servers()
    await http.post(validator.url + "/lab/scenarios/malformed_events")
    await until(lambda: len(validator.state.sent) > 10)
    await http.post(validator.url + "/lab/events", json={"reason": "x"})
    state = (await http.get(validator.url + "/lab/state")).json()
    assert state["simulated"] is True
    log = (await http.get(validator.url + "/lab/log")).json()
    assert log["counts"]["GET /miner/servers/ 200"] == 1
    assert any(line["signature_valid"] for line in log["asked"])


async def test_the_registry_serves_signed_pulls_only(validator: SimulatedValidator, http: httpx.AsyncClient) -> None:
    path = f"{validator.url}/v2/simulated/a/manifests/0.1"
    assert (await http.get(path)).status_code == 401

    def headers() -> dict[str, str]:
        return MINER.hotkey_headers(str(int(time.time())), purpose=Purpose.REGISTRY)

    manifest = await http.get(path, headers=headers())
    config = manifest.json()["config"]["digest"]
    blob = await http.get(f"{validator.url}/v2/simulated/a/blobs/{config}", headers=headers())
    assert blob.status_code == 200
    assert (await http.get(f"{validator.url}/v2/simulated/a/blobs/sha256:0", headers=headers())).status_code == 404
    assert (await http.head(path, headers=headers())).status_code == 200
    assert (await http.get(f"{validator.url}/registry/auth", headers=headers())).json() == {"authenticated": True}


async def test_maintenance_purges_the_instances_of_one_server(
    validator: SimulatedValidator, client: ValidatorClient, http: httpx.AsyncClient
) -> None:
    await launch(PodEnvironment.read(await pod_environment(client, validator)), http)

    async def tee(method: str, path: str) -> httpx.Response:
        headers = MINER.hotkey_headers(str(int(time.time())), purpose=Purpose.TEE)
        return await http.request(method, validator.url + path, headers=headers)

    assert (await tee("GET", "/servers/maintenance/policy")).json()["servers"][0]["needs_upgrade"] is True
    assert (await tee("GET", "/servers/n/maintenance/preflight")).json()["eligible"] is True
    done = (await tee("PUT", "/servers/n/maintenance")).json()
    assert len(done["purged_instance_ids"]) == 1
    again = await tee("PUT", "/servers/n/maintenance")
    assert again.status_code == 409
    assert again.json()["detail"]["denial_reasons"] == [{"reason": "maintenance_pending"}]


async def test_a_signature_ten_minutes_old_is_refused(validator: SimulatedValidator, http: httpx.AsyncClient) -> None:
    for nonce in (str(int(time.time()) - 601), str(int(time.time()) + 700), "x", ""):
        headers = MINER.hotkey_headers(nonce or "1", purpose=Purpose.MINER)
        assert (await http.get(validator.url + "/miner/servers/", headers=headers)).status_code == 401


async def test_risen_demand_shows_in_the_utilization_of_every_chute(validator: SimulatedValidator) -> None:
    await SCENARIOS["steady_demand"](validator)
    await SCENARIOS["rising_demand"](validator)
    targets = {validator.state.utilization_of(chute)["target_count"] for chute in validator.state.chutes}
    assert targets == {RISEN_TARGET}


async def test_a_bounty_is_listed_until_an_active_copy_claims_it(
    validator: SimulatedValidator, client: ValidatorClient, http: httpx.AsyncClient
) -> None:
    environment = await pod_environment(client, validator)
    (chute_id,) = validator.state.chutes
    before = (await client.chutes()).items[chute_id].effective_compute_multiplier
    assert before is not None
    played = await http.post(f"{validator.url}/lab/scenarios/bounty", params={"chute_id": chute_id})
    assert played.status_code == 200
    await until(lambda: validator.state.bounties)
    offered = (await client.chutes()).items[chute_id]
    assert (offered.bounty, offered.effective_compute_multiplier) == (100, before * BOUNTY_BOOST)
    launched = await launch(PodEnvironment.read(environment), http)
    assert validator.state.instances[launched.instance_id]["bounty"] == 100
    claimed = (await client.chutes()).items[chute_id]
    assert (claimed.bounty, claimed.effective_compute_multiplier) == (None, before)
    assert validator.state.bounties == {}


async def test_fallen_demand_ends_every_copy_of_one_chute_and_takes_no_more(
    validator: SimulatedValidator, client: ValidatorClient, http: httpx.AsyncClient
) -> None:
    await launch(PodEnvironment.read(await pod_environment(client, validator)), http)
    (chute_id,) = validator.state.chutes
    await SCENARIOS["falling_demand"](validator, chute_id=chute_id)
    assert (await client.instances()).items == {}
    assert validator.state.utilization_of(chute_id)["target_count"] == 0


async def test_only_scenarios_of_one_chute_are_told_which(
    validator: SimulatedValidator, http: httpx.AsyncClient
) -> None:
    scenarios = f"{validator.url}/lab/scenarios"
    assert (await http.post(f"{scenarios}/outage", params={"chute_id": "a"})).status_code == 400
    assert (await http.post(f"{scenarios}/bounty", params={"amount": "7"})).status_code == 400
    assert (await http.post(f"{scenarios}/bounty", params={"chute_id": "a"})).status_code == 404
