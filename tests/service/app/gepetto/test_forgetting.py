"""A server that leaves is forgotten at its validator, however that one holds it; no answer is no forgetting."""

from __future__ import annotations

import pytest

from app.gepetto.compose import _forget_server
from app.gepetto.ingest.validators import ValidatorAdapter
from app.gepetto.world.views import ServerView
from app.protocol.servers import NodeRegistration
from app.protocol.validators import ValidatorEntry
from app.validators.client import ValidatorClient
from app.validators.transport import Transport, new_http_client
from lab.validator.app import SimulatedValidator
from lab.validator.faults import Fault, FaultKind
from tests.support.control import MINER, VALIDATOR, client_of, registration
from tests.support.gepetto import make_server

pytestmark = pytest.mark.service

GPUS = registration().gpus
BODY = NodeRegistration(server_id="server-000", server_name="gpu-0", nodes=GPUS)


def leaving(validator: str = VALIDATOR.ss58) -> ServerView:
    return make_server(id="server-000", validator=validator, gpu_ids=tuple(gpu.uuid for gpu in GPUS))


@pytest.mark.parametrize("has_bare_servers", [True, False])
async def test_a_bare_nodes_gpus_are_forgotten(has_bare_servers: bool) -> None:
    async with SimulatedValidator(VALIDATOR.ss58).listening() as validator, new_http_client() as http:
        validator.state.has_bare_servers = has_bare_servers
        client = client_of(validator, http)
        await client.register_nodes(BODY)
        assert len(validator.state.nodes) == len(GPUS)
        assert await _forget_server((ValidatorAdapter(client),), leaving())
        assert (validator.state.nodes, validator.state.servers) == ({}, {})
        assert await _forget_server((ValidatorAdapter(client),), leaving()), "what is not known is forgotten"


async def test_gpus_that_were_not_all_forgotten_are_no_forgotten_server_and_the_next_try_ends_it() -> None:
    async with SimulatedValidator(VALIDATOR.ss58).listening() as validator, new_http_client() as http:
        validator.state.has_bare_servers = False
        client = client_of(validator, http)
        await client.register_nodes(BODY)
        validator.faults.add(Fault(f"DELETE /nodes/{GPUS[1].uuid}", FaultKind.REFUSE, status=429, times=1))
        assert not await _forget_server((ValidatorAdapter(client),), leaving())
        assert list(validator.state.nodes) == [GPUS[1].uuid]
        assert await _forget_server((ValidatorAdapter(client),), leaving())
        assert validator.state.nodes == {}


async def test_a_refusal_is_an_answer_and_keeps_no_server_for_ever() -> None:
    async with SimulatedValidator(VALIDATOR.ss58).listening() as validator, new_http_client() as http:
        validator.faults.add(Fault("DELETE /servers/*", FaultKind.REFUSE, status=403, times=None))
        assert await _forget_server((ValidatorAdapter(client_of(validator, http)),), leaving())


async def test_only_a_servers_own_validator_is_waited_for() -> None:
    async with new_http_client() as http:
        nobody = ValidatorEntry(hotkey=VALIDATOR.ss58, api="http://127.0.0.1:9", socket="http://127.0.0.1:9")
        adapter = ValidatorAdapter(ValidatorClient(Transport(nobody, MINER, http)))
        assert not await _forget_server((adapter,), leaving())
        assert await _forget_server((adapter,), leaving(validator="another"))
