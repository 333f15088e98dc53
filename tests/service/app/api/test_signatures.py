"""Every wrong signature is the same 401, and nothing else: a table of tests (DESIGN D13)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from app.api.settings import SignatureStage
from app.protocol.signing import Header, Purpose, Request, message_v1, nonce_v1, nonce_v2
from lab.services.redis import EmbeddedRedis
from tests.support.api import ApiClient, client_for, running_app, settings
from tests.support.control import MINER, STRANGER, VALIDATOR

pytestmark = pytest.mark.service

TARGET = "/servers/"
GO_AWAY = b'{"detail":"go away"}'


@pytest.fixture
async def app(database_url: str, redis: Redis, redis_server: EmbeddedRedis) -> AsyncIterator[FastAPI]:
    async with running_app(settings(database_url, redis_server.url)) as app:
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[ApiClient]:
    async with client_for(app) as client:
        yield client


def v1(at: float | None = None, purpose: Purpose = Purpose.MANAGEMENT) -> dict[str, str]:
    return MINER.management_headers(nonce_v1(at if at is not None else time.time()), purpose=purpose)


def v2(method: str = "GET", target: str = TARGET, at: float | None = None) -> dict[str, str]:
    nonce = nonce_v2(at if at is not None else time.time(), b"12345678")
    return MINER.management_headers_v2(nonce, Request(method, target))


def without(name: Header) -> dict[str, str]:
    return {key: value for key, value in v1().items() if key != name.value}


def signed_by_stranger() -> dict[str, str]:
    nonce = nonce_v1(time.time())
    message = message_v1((MINER.ss58, MINER.ss58), nonce, "management")
    return v1() | {Header.NONCE.value: nonce, Header.SIGNATURE.value: STRANGER.sign(message)}


WRONG: dict[str, Callable[[], dict[str, str]]] = {
    "no headers": dict[str, str],
    "without the miner": lambda: without(Header.MINER),
    "without the signer": lambda: without(Header.VALIDATOR),
    "without the nonce": lambda: without(Header.NONCE),
    "without the signature": lambda: without(Header.SIGNATURE),
    "for another miner": lambda: v1() | {Header.MINER.value: STRANGER.ss58},
    "by a stranger who names himself": lambda: STRANGER.management_headers(
        nonce_v1(time.time()), purpose=Purpose.MANAGEMENT
    ),
    "by a validator": lambda: v1() | {Header.VALIDATOR.value: VALIDATOR.ss58},
    "by a stranger's key under our name": signed_by_stranger,
    "31 seconds old": lambda: v1(time.time() - 32),
    "32 seconds ahead": lambda: v1(time.time() + 32),
    "a day ahead": lambda: v1(time.time() + 86400),
    "for another purpose": lambda: v1(purpose=Purpose.KUBECONFIG),
    "a nonce that is text": lambda: v1() | {Header.NONCE.value: "now"},
    "a nonce with a sign": lambda: v1() | {Header.NONCE.value: f"-{int(time.time())}"},
    "a nonce with a fraction": lambda: v1() | {Header.NONCE.value: f"{time.time():.1f}"},
    "a nonce of a thousand digits": lambda: v1() | {Header.NONCE.value: "9" * 1000},
    "an empty nonce": lambda: v1() | {Header.NONCE.value: ""},
    "a signature with 0x": lambda: v1() | {Header.SIGNATURE.value: "0x" + v1()[Header.SIGNATURE.value]},
    "a signature in upper case": lambda: v1() | {Header.SIGNATURE.value: v1()[Header.SIGNATURE.value].upper()},
    "a signature that is no hex": lambda: v1() | {Header.SIGNATURE.value: "z" * 128},
    "64 bytes of zeros": lambda: v1() | {Header.SIGNATURE.value: "00" * 64},
    "64 bytes that are no point": lambda: v1() | {Header.SIGNATURE.value: "ff" * 64},
    "a signature cut short": lambda: v1() | {Header.SIGNATURE.value: v1()[Header.SIGNATURE.value][:126]},
    "an unknown version": lambda: v1() | {Header.VERSION.value: "3"},
    "version 1 said to be 2": lambda: v1() | {Header.VERSION.value: "2"},
    "version 2 said to be 1": lambda: v2() | {Header.VERSION.value: "1"},
    "version 2 of another method": lambda: v2(method="DELETE"),
    "version 2 of another path": lambda: v2(target="/servers/a/lock"),
    "version 2 of another query": lambda: v2(target="/servers/?a=1"),
    "version 2 out of the window": lambda: v2(at=time.time() - 32),
    "version 2 without the random part": lambda: v2() | {Header.NONCE.value: str(int(time.time()))},
}


@pytest.mark.parametrize("defect", WRONG)
async def test_a_wrong_request_is_told_to_go_away(client: ApiClient, defect: str) -> None:
    answer = await client.http.get(TARGET, headers=WRONG[defect]())
    assert (answer.status_code, answer.content) == (401, GO_AWAY)


@pytest.mark.parametrize("version", [1, 2])
async def test_a_right_request_is_answered_and_its_replay_is_not(app: FastAPI, version: int) -> None:
    headers = v1() if version == 1 else v2()
    async with client_for(app) as client:
        assert (await client.http.get(TARGET, headers=headers)).status_code == 200
        replay = await client.http.get(TARGET, headers=headers)
    assert (replay.status_code, replay.content) == (401, GO_AWAY)


async def test_several_requests_of_one_second_are_legal(client: ApiClient) -> None:
    now = time.time()
    answers = [await client.http.get(TARGET, headers=v1(now)) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 5


@pytest.mark.parametrize("offset", [-29, 29])
async def test_clocks_may_differ_by_half_a_minute_both_ways(client: ApiClient, offset: int) -> None:
    assert (await client.http.get(TARGET, headers=v1(time.time() + offset))).status_code == 200


async def test_a_redirect_uses_no_signature_up(client: ApiClient) -> None:
    headers = v1()
    redirect = await client.http.get("/servers", headers=headers)
    assert redirect.status_code == 307
    assert (await client.http.get(redirect.headers["location"], headers=headers)).status_code == 200


async def test_a_replay_is_told_on_another_worker_too(
    database_url: str, redis_server: EmbeddedRedis, client: ApiClient
) -> None:
    headers = v1()
    assert (await client.http.get(TARGET, headers=headers)).status_code == 200
    async with (
        running_app(settings(database_url, redis_server.url)) as other,
        client_for(other) as second,
    ):
        assert (await second.http.get(TARGET, headers=headers)).status_code == 401


async def test_a_bodyless_post_is_signed_over_the_empty_body(client: ApiClient) -> None:
    target = "/servers/simulated-gpu-0/lock"
    by_purpose = await client.http.post(target, headers=v1())
    assert by_purpose.status_code == 401
    by_digest = MINER.management_headers(nonce_v1(time.time()), body=b"")
    assert (await client.http.post(target, headers=by_digest)).json()["locked"] is True


async def test_a_body_that_was_changed_is_refused(client: ApiClient) -> None:
    headers = MINER.management_headers(nonce_v1(time.time()), body=b'{"a":1}')
    answer = await client.http.post("/servers/", content=b'{"a":2}', headers=headers)
    assert answer.status_code == 401


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"name":1}'])
async def test_an_unsigned_body_is_401_before_it_is_read(client: ApiClient, body: bytes) -> None:
    assert (await client.http.post("/servers/", content=body)).status_code == 401


@pytest.mark.parametrize(
    ("stage", "accepted", "upgrade"),
    [("off", 200, None), ("observe", 200, None), ("prefer", 200, "2"), ("require", 401, None)],
)
async def test_version_1_is_phased_out_in_stages(
    database_url: str, redis: Redis, redis_server: EmbeddedRedis, stage: str, accepted: int, upgrade: str | None
) -> None:
    config = settings(database_url, redis_server.url, stage=SignatureStage(stage))
    async with running_app(config) as app, client_for(app) as client:
        answer = await client.http.get(TARGET, headers=v1())
        assert (answer.status_code, answer.headers.get(Header.VERSION.value)) == (accepted, upgrade)
        assert (await client.http.get(TARGET, headers=v2())).status_code == 200


@given(
    st.dictionaries(
        st.sampled_from([h.value for h in Header] + ["Authorization", "Content-Type"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=140),
    )
)
@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_headers_whatever_give_a_server_error(client: ApiClient, headers: dict[str, str]) -> None:
    for method, target in (("GET", TARGET), ("POST", TARGET), ("DELETE", "/deployments/purge")):
        answer = await client.http.request(method, target, headers=headers)
        assert answer.status_code == 401
