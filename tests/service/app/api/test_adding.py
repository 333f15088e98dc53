"""Adding a server: status codes before the stream, the stream's frames, and nothing left after a failure."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import orjson
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy import text

from app.api import adding, bootstrap, claims
from app.api.attestation import Attestation
from app.api.leader import look_at_kubeconfigs
from app.api.node_kubeconfigs import NotGrantedError
from app.api.verification import GravalSession, NodeAccess, Say
from app.protocol.instances import VerificationStatus
from app.protocol.servers import DeviceInfo
from app.protocol.signing import Purpose
from app.storage.models import Server
from app.storage.sealing import Aligned, Vault, align, plain_servers
from app.validators import transport
from app.validators.client import ValidatorClient
from lab.services.redis import EmbeddedRedis
from lab.validator.app import SimulatedValidator
from lab.validator.faults import Fault, FaultKind
from lab.validator.machines import PROVER
from tests.support.api import ApiClient, client_for, running_app, settings
from tests.support.control import VALIDATOR, device, entry_of
from tests.support.worker import SimulatedWorker

pytestmark = pytest.mark.service
ADDRESSES = (f"127.7.{b}.{c}" for b, c in itertools.product(range(60), range(1, 250)))
COMPLETED = "completed server bootstrapping in"


class FakeGraval:
    """Stands where the GraVal bootstrap will: says what it was asked."""

    def __init__(self) -> None:
        self.removed = 0

    @asynccontextmanager
    async def running(self, server: Server, access: NodeAccess, say: Say) -> AsyncIterator[GravalSession]:
        try:
            yield GravalSession([DeviceInfo.model_validate(device(i)) for i in range(2)], 31999)
        finally:
            self.removed += 1


class World:
    def __init__(self, app: FastAPI, client: ApiClient, validator: SimulatedValidator, worker: SimulatedWorker) -> None:
        self.app, self.client, self.validator, self.worker = app, client, validator, worker

    def body(self, **changes: object) -> dict[str, object]:
        return {
            "name": "worker-1", "validator": VALIDATOR.ss58, "hourly_cost": 2.0, "gpu_short_ref": "h100_sxm",
            "agent_api": self.worker.agent_url,
        } | changes  # fmt: skip

    async def add(self, **changes: object) -> tuple[int, list[str]]:
        answer = await self.client.send("POST", "/servers/", self.body(**changes))
        if answer.status_code != 200:
            return answer.status_code, [answer.json()["detail"]]
        messages = []
        for line in answer.text.split("\n"):
            if line.strip():
                assert line.startswith("data: ")
                event = orjson.loads(line[6:])
                assert set(event) == {"timestamp", "message"}
                assert datetime.fromisoformat(event["timestamp"]).tzinfo is None
                messages.append(event["message"])
        return 200, messages

    async def rows(self, statement: str) -> list[object]:
        async with self.app.state.services.engine.connect() as connection:
            return list((await connection.execute(text(statement))).scalars())


@pytest.fixture
async def world(
    database_url: str, redis: Redis, redis_server: EmbeddedRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(bootstrap, "Attestation", functools.partial(Attestation, pause_seconds=0.01))
    monkeypatch.setattr(bootstrap, "SETTLE_SECONDS", 0.3)
    monkeypatch.setattr(bootstrap, "SETTLE_POLL_SECONDS", 0.05)
    async with contextlib.AsyncExitStack() as stack:
        validator = await stack.enter_async_context(SimulatedValidator(VALIDATOR.ss58).listening())
        worker = await stack.enter_async_context(SimulatedWorker(next(ADDRESSES)).listening(tmp_path))
        config = settings(
            database_url, redis_server.url, validator=entry_of(validator), monitor_api="http://127.0.0.1:32001"
        )
        app = await stack.enter_async_context(running_app(config, graval=FakeGraval()))
        yield World(app, await stack.enter_async_context(client_for(app)), validator, worker)


async def test_a_tee_node_is_added_and_the_last_message_says_so(world: World) -> None:
    status, messages = await world.add()
    assert status == 200
    assert messages[-1].startswith(COMPLETED), messages
    assert await world.rows("SELECT name FROM servers WHERE is_tee AND status = 'Ready'") == ["worker-1"]
    assert await world.rows("SELECT verified FROM gpus WHERE server_id = 'uid-of-worker-1'") == [True, True]
    assert await world.rows("SELECT memory_per_gpu FROM servers WHERE name = 'worker-1'") == [80]
    assert await world.rows("SELECT length(certificate_sha256) FROM node_profiles") == [64]
    assert world.worker.labels["chutes/worker"] == "true"
    assert world.worker.labels["gpu-short-ref"] == "h100_sxm"
    assert world.worker.is_monitored
    assert list(world.validator.state.servers) == ["uid-of-worker-1"]
    registered = next(iter(world.validator.state.nodes.values()))
    assert (registered["device_index"], registered["verification_port"]) == (0, 30443)


async def test_an_agent_that_reports_elsewhere_already_is_told_again(world: World) -> None:
    world.worker.is_monitored = True
    _, messages = await world.add()
    assert messages[-1].startswith(COMPLETED)


async def test_a_bare_node_goes_through_graval(world: World) -> None:
    world.worker.labels["chutes/tee"] = "false"
    _, messages = await world.add(kind="bare", registry_token_sha256="ab" * 32)
    assert messages[-1].startswith(COMPLETED), messages
    assert await world.rows("SELECT kind || registry_token_sha256 FROM node_profiles") == ["bare" + "ab" * 32]
    (seed,) = await world.rows("SELECT seed FROM servers WHERE name = 'worker-1'")
    assert isinstance(seed, int)
    assert world.app.state.services.graval.removed == 1


async def test_a_kubeconfig_of_ours_spares_the_agents(world: World) -> None:
    world.worker.labels["chutes/tee"] = "false"
    _, messages = await world.add(kubeconfig=world.worker.kubeconfig())
    assert messages[-1].startswith(COMPLETED)
    assert "GET /config/kubeconfig" not in world.worker.asked


@pytest.mark.parametrize(
    ("changes", "status", "detail"),
    [
        ({"agent_api": None}, 400, "agent_api is missing"),
        ({"agent_api": "ftp://x"}, 400, "an agent's address looks like"),
        ({"agent_api": "http://127.0.0.1:9"}, 502, "http://127.0.0.1:9"),
        ({"kubeconfig": ": no yaml"}, 502, "no kubeconfig from"),
        ({"name": "other"}, 400, "no context 'other'; it has ['worker-1']"),
        ({"validator": "5unknown"}, 500, "is not configured"),
        ({"gpu_short_ref": "tpu"}, 400, "is no supported GPU"),
    ],
)
async def test_checks_before_the_stream_have_their_status(
    world: World, changes: dict[str, object], status: int, detail: str
) -> None:
    found, (message,) = await world.add(**changes)
    assert found == status
    assert detail in message


async def test_an_agents_kubeconfig_of_another_machine_is_refused_before_anybody_is_asked(world: World) -> None:
    mine = world.worker.kubeconfig()
    world.worker.kubeconfig = lambda: mine.replace(world.worker.address, "198.51.100.9")  # type: ignore[method-assign]
    found, (message,) = await world.add()
    assert (found, f"to 198.51.100.9 and the agent is at {world.worker.address}" in message) == (502, True), message
    assert not [asked for asked in world.worker.asked if "/api/" in asked]


async def test_a_node_that_cannot_be_read_is_404_and_one_that_exists_409(world: World) -> None:
    real, world.worker.name = world.worker.kubeconfig(), "renamed"
    assert (await world.add(kubeconfig=real))[0] == 404
    world.worker.name = "worker-1"
    assert (await world.add())[1][-1].startswith(COMPLETED)
    assert (await world.add())[0] == 409


async def test_a_validator_without_its_list_is_500(world: World) -> None:
    world.validator.faults.add(Fault("GET /nodes/supported", FaultKind.REFUSE, status=400, times=None))
    assert (await world.add())[0] == 500


@pytest.mark.parametrize("wrong", [{"name": "../x"}, {"hourly_cost": -1}, {"extra": 1}, {"kind": "vm"}])
async def test_a_body_that_is_not_as_documented_is_422(world: World, wrong: dict[str, object]) -> None:
    assert (await world.client.send("POST", "/servers/", world.body(**wrong))).status_code == 422


async def expect_nothing_left(world: World, message: str, why: str) -> None:
    assert message.startswith("failed to bootstrap the server: ") or message == "removed the server's row"
    assert why in message or message == "removed the server's row"
    assert await world.rows("SELECT name FROM servers WHERE name = 'worker-1'") == []
    assert await world.rows("SELECT gpu_id FROM gpus WHERE server_id = 'uid-of-worker-1'") == []
    assert not world.worker.is_monitored
    assert world.validator.state.servers == {}


async def failure_of(world: World, **changes: object) -> str:
    _, messages = await world.add(**changes)
    assert not any(message.startswith(COMPLETED) for message in messages)
    return next(message for message in messages if message.startswith("failed"))


async def test_a_node_that_is_not_ready_leaves_nothing(world: World) -> None:
    world.worker.is_ready = False
    await expect_nothing_left(world, await failure_of(world), "is not Ready")


async def test_a_wrong_kind_leaves_nothing(world: World) -> None:
    await expect_nothing_left(world, await failure_of(world, kind="bare"), "says otherwise")


async def test_a_wrong_number_of_gpus_leaves_nothing(world: World) -> None:
    world.worker.devices.pop()
    await expect_nothing_left(world, await failure_of(world), "it lists 1 GPUs, the node's label says 2")


async def test_a_node_whose_gpus_come_back_after_a_restart_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "SETTLE_SECONDS", 30)
    world.worker.gpus, world.worker.is_ready = 0, False

    async def come_back() -> None:
        asked = [line for line in world.worker.asked if line.startswith("GET /api/v1/nodes")]
        while len(asked) < 3:
            await asyncio.sleep(0.02)
            asked = [line for line in world.worker.asked if line.startswith("GET /api/v1/nodes")]
        world.worker.gpus, world.worker.is_ready = 2, True

    coming = asyncio.create_task(come_back())
    _, messages = await world.add()
    await coming
    assert messages[-1].startswith(COMPLETED), messages
    assert any("waiting until node" in message for message in messages)


async def test_a_node_without_gpus_or_address_leaves_nothing(world: World) -> None:
    world.worker.gpus = 0
    await expect_nothing_left(world, await failure_of(world), "reports no nvidia.com/gpu")
    world.worker.gpus = 2
    del world.worker.labels["chutes/external-ip"]
    await expect_nothing_left(world, await failure_of(world), "has no label chutes/external-ip")


@pytest.mark.parametrize("status", [400, 403, 409, 500])
async def test_a_refusal_by_the_validator_leaves_nothing(world: World, status: int) -> None:
    world.validator.faults.add(Fault("POST /servers/", FaultKind.REFUSE, status=status, detail="its reason"))
    await expect_nothing_left(world, await failure_of(world), f"{status} its reason")


async def test_a_lost_answer_is_asked_about_before_a_second_registration(world: World) -> None:
    world.validator.faults.add(Fault("POST /servers/", FaultKind.DROP, times=1))
    _, messages = await world.add()
    assert messages[-1].startswith(COMPLETED), messages
    asked = [line.path for line in world.validator.state.asked if line.path in ("/servers/", "/miner/servers/")]
    assert asked == ["/servers/", "/miner/servers/", "/servers/"]


async def test_a_server_that_our_database_lost_is_taken_as_the_validator_has_it(
    world: World,
) -> None:
    assert (await world.add())[1][-1].startswith(COMPLETED)
    before = dict(world.validator.state.nodes)
    async with world.app.state.services.engine.begin() as connection:
        await connection.execute(text("DELETE FROM servers WHERE name = 'worker-1'"))
    _, messages = await world.add()
    assert messages[-1].startswith(COMPLETED), messages
    assert world.validator.state.nodes == before
    assert not [line for line in world.validator.state.asked if line.method == "DELETE"]


async def test_a_server_that_the_validator_knows_otherwise_is_not_deleted_there(world: World) -> None:
    assert (await world.add())[1][-1].startswith(COMPLETED)
    async with world.app.state.services.engine.begin() as connection:
        await connection.execute(text("DELETE FROM servers WHERE name = 'worker-1'"))
    world.validator.state.servers["uid-of-worker-1"]["ip"] = "192.0.2.77"
    assert "run `delete-remote --name worker-1`" in await failure_of(world)
    assert list(world.validator.state.servers) == ["uid-of-worker-1"]
    assert await world.rows("SELECT name FROM servers WHERE name = 'worker-1'") == []


async def test_gpus_of_another_server_are_named_with_it(world: World) -> None:
    statement = "UPDATE gpus SET gpu_id = :gpu WHERE gpu_id = (SELECT min(gpu_id) FROM gpus) RETURNING server_id"
    async with world.app.state.services.engine.begin() as connection:
        holder = (await connection.execute(text(statement), {"gpu": world.worker.devices[0]["uuid"]})).scalar_one()
    (name,) = await world.rows(f"SELECT name FROM servers WHERE server_id = '{holder}'")
    await expect_nothing_left(world, await failure_of(world), f"belong to {name}: run delete-node first")


async def test_a_label_that_is_no_number_leaves_nothing(world: World) -> None:
    world.worker.labels["nvidia.com/gpu.count"] = "two"
    await expect_nothing_left(world, await failure_of(world), "is 'two', wanted a number")


async def test_a_mistake_of_ours_leaves_nothing_and_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def mistaken(*_: object) -> None:
        raise KeyError("a secret")

    monkeypatch.setattr(Attestation, "verify", mistaken)
    message = await failure_of(world)
    await expect_nothing_left(world, message, "an error that nobody expected, KeyError")
    assert "secret" not in message


async def test_an_adding_that_takes_too_long_says_so_and_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless(*_: object) -> None:
        await asyncio.sleep(600)

    monkeypatch.setattr(Attestation, "verify", endless)
    monkeypatch.setattr(bootstrap, "TIMEOUT_SECONDS", 2)
    await expect_nothing_left(world, await failure_of(world), "it took longer than 2 s")


async def test_a_row_stays_while_the_validator_cannot_be_made_to_forget(world: World) -> None:
    world.validator.faults.add(Fault("POST /servers/", FaultKind.REFUSE, status=400, times=1))
    world.validator.faults.add(Fault("DELETE /servers/*", FaultKind.REFUSE, status=403, times=1))
    _, messages = await world.add()
    assert "the validator may still know the server, so its row stays: add the node again to clear both" in messages
    assert await world.rows("SELECT name FROM servers WHERE name = 'worker-1'") == ["worker-1"]
    assert not world.worker.is_monitored
    _, messages = await world.add()
    assert messages[-1].startswith(COMPLETED), messages


async def test_graval_that_is_not_configured_says_so(world: World) -> None:
    world.worker.labels["chutes/tee"] = "false"
    world.app.state.services.graval = None
    await expect_nothing_left(world, await failure_of(world), "no GraVal bootstrap is configured")


async def test_a_failed_graval_check_leaves_nothing(world: World) -> None:
    world.worker.labels["chutes/tee"] = "false"

    async def prover(miner: str, gpus: list[dict[str, object]]) -> str | None:
        return "too slow"

    world.validator.app._state[PROVER] = prover
    await expect_nothing_left(world, await failure_of(world), "too slow")
    assert world.app.state.services.graval.removed == 1


async def test_a_kubeconfig_is_stored_sealed_and_handed_out_open(world: World) -> None:
    assert (await world.add())[1][-1].startswith(COMPLETED)
    (stored,) = await world.rows("SELECT kubeconfig FROM servers WHERE name = 'worker-1'")
    assert isinstance(stored, str)
    assert stored.startswith("headframe-sealed:v1:")
    assert "node-token" not in stored
    handed = await world.client.send("GET", "/servers/kubeconfig", purpose=Purpose.KUBECONFIG)
    assert "node-token" in handed.text


async def test_stored_kubeconfigs_are_brought_into_line_both_ways_and_what_does_not_open_is_left(world: World) -> None:
    assert (await world.add())[1][-1].startswith(COMPLETED)
    services = world.app.state.services
    vault = services.settings.vault
    statement = "SELECT kubeconfig FROM servers WHERE kubeconfig IS NOT NULL"
    assert await align(services.engine, vault, sealed=True) == Aligned(0)
    foreign = await align(services.engine, Vault.of_seed("cd" * 32), sealed=False)
    assert (foreign.changed, len(foreign.unopened)) == (0, 1), "what is left is told"
    assert await align(services.engine, vault, sealed=False) == Aligned(1)
    assert "node-token" in str(await world.rows(statement))
    assert await plain_servers(services.engine) == ("worker-1",)
    await look_at_kubeconfigs(services)
    assert "node-token" in str(await world.rows(statement)), "the leader takes nothing over by itself"
    handed = await world.client.send("GET", "/servers/kubeconfig", purpose=Purpose.KUBECONFIG)
    assert "node-token" not in handed.text, "and what is plain is not used"
    assert await align(services.engine, vault, sealed=True) == Aligned(1)
    assert "node-token" not in str(await world.rows(statement))


async def killed_after_its_row(world: World) -> None:
    """As if the process had been killed while the node's GPUs were looked at: row and GPUs, nothing verified."""
    assert (await world.add(kind="bare"))[1][-1].startswith(COMPLETED)
    async with world.app.state.services.engine.begin() as connection:
        await connection.execute(text("UPDATE gpus SET verified = false WHERE server_id = 'uid-of-worker-1'"))


async def test_what_a_killed_adding_left_is_cleared_here_and_at_the_validator_and_the_node_added(world: World) -> None:
    world.worker.labels["chutes/tee"] = "false"
    world.validator.state.has_bare_servers = False
    await killed_after_its_row(world)
    assert len(world.validator.state.nodes) == 2
    status, messages = await world.add(kind="bare")
    assert (status, messages[-1].startswith(COMPLETED)) == (200, True), messages
    assert "removed what an earlier attempt to add worker-1 had left" in messages
    assert await world.rows("SELECT verified FROM gpus WHERE server_id = 'uid-of-worker-1'") == [True, True]
    assert len(world.validator.state.nodes) == 2


async def test_a_row_that_a_validator_does_not_forget_stays(world: World) -> None:
    world.worker.labels["chutes/tee"] = "false"
    await killed_after_its_row(world)
    world.validator.faults.add(Fault("DELETE /servers/*", FaultKind.REFUSE, status=403, times=None))
    assert "403" in await failure_of(world, kind="bare")
    assert await world.rows("SELECT name FROM servers WHERE name = 'worker-1'") == ["worker-1"]


async def test_a_node_that_is_being_added_is_409_for_others_and_not_disturbed(world: World) -> None:
    world.worker.labels["chutes/tee"] = "false"
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow(miner: str, gpus: list[dict[str, object]]) -> str | None:
        reached.set()
        await go_on.wait()
        return None

    world.validator.app._state[PROVER] = slow
    first = asyncio.create_task(world.add(kind="bare"))
    await reached.wait()
    status, (detail,) = await world.add(kind="bare")
    assert (status, "is being added just now" in detail) == (409, True)
    go_on.set()
    _, messages = await first
    assert messages[-1].startswith(COMPLETED), messages
    status, (detail,) = await world.add(kind="bare")
    assert (status, "exists already" in detail) == (409, True)


async def test_a_claim_ends_with_its_connection_and_takes_no_place_in_the_pool(world: World) -> None:
    engine = world.app.state.services.engine
    async with contextlib.AsyncExitStack() as stack:
        for number in range(40):
            assert await stack.enter_async_context(claims.claimed(engine, f"node-{number}"))
        assert not await claims.is_free(engine, "node-0")
        assert await world.rows("SELECT 1") == [1]
    assert await claims.is_free(engine, "node-0")


async def test_a_check_outlives_a_validator_that_is_away_for_a_moment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "ATTEMPTS", 1)
    world.worker.labels["chutes/tee"] = "false"
    world.validator.faults.add(Fault("GET /nodes/verification_status", FaultKind.DROP, times=1))
    world.validator.faults.add(Fault("GET /nodes/verification_status", FaultKind.REFUSE, status=503, times=1))
    _, messages = await world.add(kind="bare")
    assert messages[-1].startswith(COMPLETED), messages
    assert any("the validator does not answer just now" in message for message in messages)


async def test_only_the_word_verified_admits_a_bare_node(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.worker.labels["chutes/tee"] = "false"
    words = ["queued", "pending", "running", "verified"]

    async def status(*_: object) -> VerificationStatus:
        return VerificationStatus(status=words.pop(0))

    monkeypatch.setattr(ValidatorClient, "verification_status", status)
    _, messages = await world.add(kind="bare")
    assert (messages[-1].startswith(COMPLETED), words) == (True, [])


async def test_a_check_that_the_validator_does_not_know_leaves_nothing(world: World) -> None:
    world.worker.labels["chutes/tee"] = "false"
    world.validator.faults.add(Fault("GET /nodes/verification_status", FaultKind.REFUSE, status=404, times=None))
    await expect_nothing_left(world, await failure_of(world, kind="bare"), "404")


async def test_gpus_of_a_failed_bare_node_are_forgotten_where_no_server_holds_them(world: World) -> None:
    world.worker.labels["chutes/tee"] = "false"
    world.validator.state.has_bare_servers = False

    async def prover(miner: str, gpus: list[dict[str, object]]) -> str | None:
        return "too slow"

    world.validator.app._state[PROVER] = prover
    await expect_nothing_left(world, await failure_of(world), "too slow")
    assert world.validator.state.nodes == {}


async def test_a_bare_node_at_another_address_stays_the_same_server(world: World, tmp_path: Path) -> None:
    world.worker.labels["chutes/tee"] = "false"
    assert (await world.add(kind="bare"))[1][-1].startswith(COMPLETED)
    before = dict(world.validator.state.nodes)
    moved = SimulatedWorker(next(ADDRESSES), is_tee=False)
    async with moved.listening(tmp_path):
        answer = await world.client.send("PUT", "/servers/worker-1/address", {"agent_api": moved.agent_url})
        assert answer.status_code == 200, answer.text
        (address,) = await world.rows("SELECT ip_address || ' ' || agent_api FROM servers WHERE name = 'worker-1'")
        assert address == f"{moved.address} {moved.agent_url}"
        handed = await world.client.send("GET", "/servers/kubeconfig", purpose=Purpose.KUBECONFIG)
        assert moved.agent_url in handed.text
    assert await world.rows("SELECT verified FROM gpus WHERE server_id = 'uid-of-worker-1'") == [True, True]
    assert world.validator.state.nodes == before
    assert await world.rows("SELECT kind FROM intents") == []


async def test_another_machine_a_confidential_one_or_none_gets_no_servers_address(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.worker.labels["chutes/tee"] = "false"
    assert (await world.add(kind="bare"))[1][-1].startswith(COMPLETED)
    (before,) = await world.rows("SELECT agent_api FROM servers WHERE name = 'worker-1'")
    stranger = SimulatedWorker(next(ADDRESSES), is_tee=False)
    node = stranger.node()
    monkeypatch.setattr(stranger, "node", lambda: node | {"metadata": {"name": "worker-1", "uid": "another"}})

    async def put(agent_api: str, name: str = "worker-1") -> int:
        return (await world.client.send("PUT", f"/servers/{name}/address", {"agent_api": agent_api})).status_code

    async with stranger.listening(tmp_path):
        assert await put(stranger.agent_url) == 409
    assert await put("http://127.0.0.1:9") == 502
    assert await put("ftp://x") == 400
    assert await put(world.worker.agent_url, "nobody") == 404
    async with world.app.state.services.engine.begin() as connection:
        await connection.execute(text("UPDATE servers SET is_tee = true WHERE name = 'worker-1'"))
    assert await put(world.worker.agent_url) == 409
    assert await world.rows("SELECT agent_api FROM servers WHERE name = 'worker-1'") == [before]


async def test_a_declared_bare_nodes_kubeconfig_never_comes_from_its_agent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_of = vars(world.app.state.services.settings)
    monkeypatch.setitem(settings_of, "node_kubeconfigs_namespace", "headframe-nodes")
    asked: list[str] = []

    async def not_granted(namespace: str, node: str) -> str | None:
        asked.append(f"{namespace}/{node}")
        raise NotGrantedError("as told")

    monkeypatch.setattr(adding, "node_kubeconfig", not_granted)
    status, (detail,) = await world.add(kind="bare")
    assert (status, "as told" in detail) == (502, True)
    assert "GET /config/kubeconfig" not in world.worker.asked
    assert (await world.add(kind="tee"))[1][-1].startswith(COMPLETED)
    assert asked == ["headframe-nodes/worker-1"], "a confidential node has no Secret of ours"


async def test_a_node_that_the_public_command_adds_is_none_of_ours_and_its_agent_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_granted(namespace: str, node: str) -> str | None:
        raise NotGrantedError("as told")

    monkeypatch.setitem(vars(world.app.state.services.settings), "node_kubeconfigs_namespace", "headframe-nodes")
    monkeypatch.setattr(adding, "node_kubeconfig", not_granted)
    assert (await world.add())[1][-1].startswith(COMPLETED)
