"""The client against the simulated validator: every call, refusals, cut answers, clocks."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import httpx
import pytest

from app.protocol.servers import NodeRegistration
from app.protocol.signing import SignatureVersion
from app.validators.client import ValidatorClient
from app.validators.errors import ClockSkewError, ListingAbortedError, RefusedError, UnreachableError, ValidatorError
from app.validators.forgetting import forget_server
from app.validators.remote import PARTS, RemoteView, refresh
from app.validators.transport import Transport, new_http_client
from lab.validator.app import SimulatedValidator
from lab.validator.faults import Fault, FaultKind
from tests.support.control import MINER, VALIDATOR, client_of, entry_of, registration

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
    return client_of(validator, http)


async def test_every_list_is_read(validator: SimulatedValidator, client: ValidatorClient) -> None:
    chute_id = validator.state.add_chute("a", gpu_count=2)
    await client.register_server(registration())
    view = await refresh(client, RemoteView(), clock=time.time)
    assert view.failures == {}
    assert set(view.heard_at) == set(PARTS)
    assert view.chutes is not None
    assert view.chutes.items[chute_id].gpu_count == 2
    assert view.instances is not None
    assert view.instances.items == {}
    assert view.nodes is not None
    assert len(view.nodes.items) == 2
    assert view.servers is not None
    assert view.servers["server-1"].version == "1.4.0"
    assert view.utilization is not None
    assert view.utilization[chute_id].scalable is True
    assert "h100_sxm" in await client.supported_gpus()
    assert set((await client.metrics()).items) == {chute_id}
    assert view.age_seconds("chutes", view.heard_at["chutes"] + 5) == 5
    assert view.age_seconds("nothing", 1) is None


@pytest.mark.parametrize("kind", [FaultKind.CUT, FaultKind.EMPTY, FaultKind.DROP, FaultKind.REFUSE])
async def test_a_broken_list_keeps_what_was_known(
    validator: SimulatedValidator, client: ValidatorClient, kind: FaultKind
) -> None:
    for name in ("a", "b", "c"):
        validator.state.add_chute(name)
    before = await refresh(client, RemoteView(), clock=time.time, parts=("chutes",))
    validator.faults.add(Fault("GET /miner/chutes/", kind))
    after = await refresh(client, before, clock=time.time, parts=("chutes",))
    assert after.chutes is before.chutes
    assert list(after.failures) == ["chutes"]
    assert after.heard_at == before.heard_at


async def test_a_list_without_objects_or_marker_is_aborted(client: ValidatorClient) -> None:
    with pytest.raises(ListingAbortedError):
        await client.chutes()


async def test_a_single_chute_is_found_and_a_gone_version_is_none(
    validator: SimulatedValidator, client: ValidatorClient
) -> None:
    chute_id = validator.state.add_chute("a")
    found = await client.chute(chute_id, str(validator.state.chutes[chute_id]["version"]))
    assert found is not None
    assert found.chute_id == chute_id
    assert await client.chute(chute_id, "old") is None


@pytest.mark.parametrize("status", [403, 409, 423])
async def test_a_refused_launch_says_how_and_is_not_repeated(
    validator: SimulatedValidator, client: ValidatorClient, status: int
) -> None:
    chute_id = validator.state.add_chute("a")
    validator.faults.add(Fault("GET /instances/launch_config", FaultKind.REFUSE, status=status, detail="why"))
    with pytest.raises(RefusedError, match="why") as refused:
        await client.launch_config(chute_id)
    assert refused.value.status == status
    assert validator.state.counts[f"GET /instances/launch_config {status}"] == 1


async def test_a_launch_is_not_repeated_after_a_server_error(
    validator: SimulatedValidator, client: ValidatorClient
) -> None:
    chute_id = validator.state.add_chute("a")
    validator.faults.add(Fault("GET /instances/launch_config", FaultKind.REFUSE, status=502))
    with pytest.raises(RefusedError):
        await client.launch_config(chute_id)
    assert (await client.launch_config(chute_id)).config_id in validator.state.configs
    assert len(validator.state.configs) == 1


async def test_an_idempotent_call_is_repeated_with_a_fresh_signature(
    validator: SimulatedValidator, client: ValidatorClient
) -> None:
    validator.faults.add(Fault("GET /miner/servers/", FaultKind.REFUSE, status=503, times=1))
    validator.faults.add(Fault("GET /miner/servers/", FaultKind.DROP, times=1))
    assert await client.servers() == {}
    assert validator.state.counts["GET /miner/servers/ 503"] == 2
    assert validator.state.counts["GET /miner/servers/ 200"] == 1


async def test_deletions_of_what_is_gone_succeed(client: ValidatorClient) -> None:
    assert not await client.delete_instance("c", "i")
    assert not await client.delete_server("s")
    assert not await client.release_job("j")
    assert not await client.delete_node("n")
    assert not await client.rename_server("s", "n")


async def test_a_bare_nodes_gpus_are_forgotten_whether_or_not_the_validator_holds_a_server(
    validator: SimulatedValidator, client: ValidatorClient
) -> None:
    body = NodeRegistration(server_id="s", server_name="n", nodes=registration().gpus)
    for held in (True, False):
        validator.state.has_bare_servers = held
        await client.register_nodes(body)
        assert len(validator.state.nodes) == 2
        await forget_server(client, "s", [gpu.uuid for gpu in body.nodes])
        assert (validator.state.nodes, validator.state.servers) == ({}, {})
    await forget_server(client, "s", [gpu.uuid for gpu in body.nodes])  # all unknown


async def test_a_server_is_registered_renamed_and_deleted(
    validator: SimulatedValidator, client: ValidatorClient
) -> None:
    await client.register_server(registration())
    with pytest.raises(RefusedError) as refused:
        await client.register_server(registration())
    assert refused.value.status == 409
    assert await client.rename_server("server-1", "renamed")
    assert validator.state.servers["server-1"]["name"] == "renamed"
    assert await client.delete_server("renamed")
    assert validator.state.nodes == {}


async def test_nodes_are_registered_with_one_seed_and_watched(
    validator: SimulatedValidator, client: ValidatorClient
) -> None:
    body = NodeRegistration(server_id="s", server_name="n", nodes=registration().gpus)
    task_id, seed = await client.register_nodes(body)
    assert seed is not None
    assert (await client.verification_status(task_id)).status == "verified"
    with pytest.raises(RefusedError):
        await client.verification_status("5other::1")


async def test_an_audit_is_uploaded_once_per_block(client: ValidatorClient) -> None:
    body = b'{"start_time":"a","end_time":"b"}'
    await client.upload_audit(body, 7)
    with pytest.raises(RefusedError, match="duplicate"):
        await client.upload_audit(body, 7)


async def test_a_wrong_clock_is_reported_as_such(validator: SimulatedValidator, http: httpx.AsyncClient) -> None:
    ahead = client_of(validator, http, clock=lambda: time.time() + 3600)
    with pytest.raises(ClockSkewError, match=r"3[56]\d\d s ahead of the validator's: check `timedatectl"):
        await ahead.servers()


async def test_a_stranger_is_unauthorised_and_that_is_no_clock_problem(
    validator: SimulatedValidator, client: ValidatorClient
) -> None:
    validator.state.registered = set()
    with pytest.raises(RefusedError, match="not registered") as refused:
        await client.servers()
    assert not isinstance(refused.value, ClockSkewError)


async def test_version_2_is_spoken_where_a_validator_wants_it(
    validator: SimulatedValidator, http: httpx.AsyncClient
) -> None:
    client = ValidatorClient(Transport(entry_of(validator), MINER, http, version=SignatureVersion.V2))
    chute_id = validator.state.add_chute("a")
    assert (await client.launch_config(chute_id, server_id="s")).config_id
    await client.register_server(registration())


async def test_an_answer_that_is_not_as_documented_is_named(
    validator: SimulatedValidator, client: ValidatorClient
) -> None:
    validator.faults.add(Fault("GET /chutes/utilization", FaultKind.GARBAGE))
    with pytest.raises(ValidatorError, match="/chutes/utilization: the answer is not as documented"):
        await client.utilization()


async def test_a_hanging_validator_is_given_up_in_time(http: httpx.AsyncClient, validator: SimulatedValidator) -> None:
    validator.faults.add(Fault("GET /x", FaultKind.HANG, seconds=5))
    from app.validators.transport import Call

    started = time.monotonic()
    with pytest.raises(UnreachableError, match="ReadTimeout"):
        await Transport(entry_of(validator), MINER, http).send(Call("GET", "/x", timeout_seconds=0.3))
    assert time.monotonic() - started < 3


async def test_ids_that_leave_their_path_are_never_sent(validator: SimulatedValidator, client: ValidatorClient) -> None:
    with pytest.raises(ValueError, match="an id has letters"):
        await client.delete_server("../chutes")
    assert not validator.state.asked
