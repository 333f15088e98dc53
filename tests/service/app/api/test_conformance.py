"""The conformance checklist of the protocol chapter, section 24: one test per line, named as the line.

Lines that other rooms prove are listed with their tests in docs/coverage/control.md.
"""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import orjson
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy import text

from app.cli.access import Access, Outgoing, Profile, signature
from app.protocol.signing import Header, Purpose, body_digest, message_v1, nonce_v1, verify
from app.storage.seed import SERVERS, seed_id
from app.validators.errors import ListingAbortedError, RefusedError, UnreachableError
from app.validators.transport import new_http_client
from lab.services.redis import EmbeddedRedis
from lab.validator.app import SimulatedValidator
from lab.validator.faults import Fault, FaultKind
from tests.support.api import ApiClient, client_for, running_app, settings
from tests.support.control import MINER, STRANGER, VALIDATOR, client_of, registration

pytestmark = pytest.mark.service

NODE = SERVERS[0][0]
INDEPENDENT = "import sys, sr25519; print(sr25519.verify(*(bytes.fromhex(a) for a in sys.argv[1:4])))"


@pytest.fixture
async def app(database_url: str, redis: Redis, redis_server: EmbeddedRedis) -> AsyncIterator[FastAPI]:
    async with running_app(settings(database_url, redis_server.url)) as app:
        yield app


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[ApiClient]:
    async with client_for(app) as client:
        yield client


@pytest.fixture
async def validator() -> AsyncIterator[SimulatedValidator]:
    async with SimulatedValidator(VALIDATOR.ss58).listening() as validator:
        yield validator


@pytest.fixture
def access(tmp_path: Path) -> Access:
    path = tmp_path / "hotkey"
    seed = hashlib.sha256(b"headframe test key miner").hexdigest()
    path.write_bytes(orjson.dumps({"ss58Address": MINER.ss58, "secretSeed": seed}))
    return Access(path)


def test_signing_a_signature_of_ours_verifies_with_an_independent_sr25519_library(public_python: Path) -> None:
    """The public client has one. The published vectors are in tests/unit/app/protocol/test_signing.py."""
    message = message_v1((MINER.ss58,), "1767225600", "miner")
    arguments = [MINER.sign(message), message.hex(), (MINER.keypair.public_key or b"").hex()]
    done = subprocess.run(
        [public_python, "-c", INDEPENDENT, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "True"


async def test_signing_hex_without_0x_nonce_is_decimal_seconds_bytes_signed_are_bytes_sent(
    validator: SimulatedValidator,
) -> None:
    headers = MINER.hotkey_headers(nonce_v1(1767225600.9), purpose=Purpose.MINER)
    assert headers[Header.NONCE.value] == "1767225600"
    assert not headers[Header.SIGNATURE.value].startswith("0x")
    async with new_http_client() as http:
        await client_of(validator, http).register_server(registration())
    (asked,) = validator.state.asked
    assert (asked.signature_valid, asked.status) == (True, 201)
    assert asked.body_sha256 == body_digest(registration().model_dump_json(exclude_none=True).encode())


@pytest.mark.parametrize(
    ("profile", "payload"), [(Profile.MANAGEMENT, body_digest(b"")), (Profile.HOTKEY, Purpose.STATUS.value)]
)
def test_signing_bodyless_post_digest_of_empty_to_miner_api_purpose_to_system_manager(
    access: Access, profile: Profile, payload: str
) -> None:
    request = Outgoing("POST", "http://x/y", Purpose.STATUS, profile)
    headers = signature(access, request, httpx.URL(request.url), None)
    parties = (MINER.ss58, MINER.ss58) if profile is Profile.MANAGEMENT else (MINER.ss58,)
    message = message_v1(parties, headers[Header.NONCE.value], payload)
    assert verify(MINER.ss58, message, headers[Header.SIGNATURE.value])


async def test_signing_inbound_30_s_single_use_401_on_every_malformed_input(api: ApiClient) -> None:
    """The whole table is in test_signatures.py."""
    for offset, status in ((-32, 401), (-28, 200), (28, 200), (32, 401)):
        headers = MINER.management_headers(nonce_v1(time.time() + offset), purpose=Purpose.MANAGEMENT)
        assert (await api.http.get("/servers/", headers=headers)).status_code == status
        assert (await api.http.get("/servers/", headers=headers)).status_code == 401
    stranger = STRANGER.management_headers(nonce_v1(time.time()), purpose=Purpose.MANAGEMENT)
    assert (await api.http.get("/servers/", headers=stranger)).status_code == 401


async def test_miner_api_all_11_routes_with_trailing_slash_rules(api: ApiClient) -> None:
    deployment = seed_id(f"simulated/sdxl@{NODE}")
    for method, target, purpose, status in (
        ("GET", "/ping", Purpose.MANAGEMENT, 200), ("GET", "/servers/", Purpose.MANAGEMENT, 200),
        ("GET", "/servers", Purpose.MANAGEMENT, 307), ("POST", "/servers/", Purpose.MANAGEMENT, 422),
        ("GET", f"/servers/{NODE}/lock", Purpose.MANAGEMENT, 200),
        ("GET", f"/servers/{NODE}/unlock", Purpose.MANAGEMENT, 200),
        ("GET", f"/servers/{NODE}/delete_preflight", Purpose.MANAGEMENT, 200),
        ("DELETE", f"/servers/{NODE}", Purpose.MANAGEMENT, 200),
        ("DELETE", f"/servers/{NODE}/deployments", Purpose.MANAGEMENT, 200),
        ("GET", "/servers/kubeconfig", Purpose.KUBECONFIG, 200),
        ("DELETE", "/deployments/purge", Purpose.MANAGEMENT, 200),
        ("DELETE", f"/deployments/{deployment}", Purpose.MANAGEMENT, 404),
    ):  # fmt: skip
        body: dict[str, object] | None = {} if method == "POST" else None
        assert (await api.send(method, target, body, purpose)).status_code == status, target


async def test_miner_api_flat_json_for_preflight_and_single_purge(app: FastAPI, api: ApiClient) -> None:
    async with app.state.services.engine.begin() as connection:
        await connection.execute(text("UPDATE deployments SET job_id = 'j'"))
    (job,) = (await api.send("GET", f"/servers/{NODE}/delete_preflight")).json()["jobs"]
    purged = (await api.send("DELETE", f"/deployments/{job['deployment_id']}")).json()["deployment_purged"]
    for flat in (job, purged):
        assert not any(isinstance(value, dict | list) for value in flat.values())


@pytest.mark.parametrize("kind", [FaultKind.EMPTY, FaultKind.CUT])
async def test_validator_stream_reader_keeps_old_map_on_empty_or_aborted_stream_obeys_no_items(
    validator: SimulatedValidator, kind: FaultKind
) -> None:
    async with new_http_client() as http:
        client = client_of(validator, http)
        assert (await client.instances()).items == {}
        validator.state.add_chute("a")
        validator.state.add_chute("b")
        validator.faults.add(Fault("GET /miner/chutes/", kind))
        with pytest.raises((ListingAbortedError, UnreachableError)):
            await client.chutes()
        assert len((await client.chutes()).items) == 2


@pytest.mark.parametrize("status", [423, 409, 403])
async def test_validator_423_is_not_an_error_404_on_delete_is_success_409_and_403_on_launch_stop_the_attempt(
    validator: SimulatedValidator, status: int
) -> None:
    async with new_http_client() as http:
        client = client_of(validator, http)
        assert not await client.delete_instance("c", "gone")
        validator.faults.add(Fault("GET /instances/launch_config", FaultKind.REFUSE, status=status))
        with pytest.raises(RefusedError) as refused:
            await client.launch_config(validator.state.add_chute("a"))
        assert refused.value.status == status
        assert len(validator.state.configs) == 0


async def test_validator_unknown_fields_and_reasons_ignored(validator: SimulatedValidator) -> None:
    chute_id = validator.state.add_chute("a")
    validator.state.chutes[chute_id]["field_of_the_future"] = {"deep": [1]}
    async with new_http_client() as http:
        assert chute_id in (await client_of(validator, http).chutes()).items
