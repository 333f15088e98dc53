"""The kubeconfig that is handed out stays valid: renewed by the cluster's own signer (issue of the agents, spec 13)."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest

from agent.watch.certificates import client_certificate
from agent.watch.kubeconfig import read_secret, replace_secret
from agent.watch.metrics import AgentMetrics
from agent.watch.renewal import Renewal, RenewalResult
from app.protocol.cluster_access import open_client, parse_kubeconfig
from lab.kubernetes.apiserver import LocalApiServer
from tests.support.agents import access_of
from tests.support.certificates import Authority, kubeconfig_with

pytestmark = pytest.mark.service
_SECRETS = "/api/v1/namespaces/default/secrets"
_DAY = 86_400


@pytest.fixture
async def api(api_server: LocalApiServer) -> AsyncIterator[httpx.AsyncClient]:
    async with open_client(access_of(api_server)) as client:
        yield client
        await client.delete(f"{_SECRETS}/miner-kubeconfig")


async def store(api: httpx.AsyncClient, text: str) -> None:
    data = {"kubeconfig": base64.b64encode(text.encode()).decode()}
    await api.delete(f"{_SECRETS}/miner-kubeconfig")
    answer = await api.post(_SECRETS, json={"metadata": {"name": "miner-kubeconfig"}, "data": data})
    assert answer.status_code == 201


def ending(days: float) -> str:
    """A kubeconfig whose certificate lives for 30 days and ends in so many."""
    now = time.time()
    return kubeconfig_with(Authority(), begins=now + (days - 30) * _DAY, ends=now + days * _DAY)


def renewal(api: httpx.AsyncClient, server: LocalApiServer, **changes: float) -> Renewal:
    return Renewal(access_of(server), api, AgentMetrics(), time.time, **changes)


async def test_a_certificate_near_its_end_is_replaced_by_one_that_the_api_server_takes(
    api: httpx.AsyncClient, api_server: LocalApiServer
) -> None:
    await store(api, ending(5))
    made = renewal(api, api_server)
    assert await made.look() is RenewalResult.RENEWED
    text = (await read_secret(api)).text
    assert client_certificate(text).ends > time.time() + 25 * _DAY
    assert made.metrics.kubeconfig_expiry._value.get() == client_certificate(text).ends
    assert parse_kubeconfig(text).server == "https://203.0.113.7:6443"
    assert await made.look() is RenewalResult.NOT_DUE


async def test_a_certificate_that_holds_long_enough_and_a_missing_one_are_left_alone(
    api: httpx.AsyncClient, api_server: LocalApiServer
) -> None:
    assert await renewal(api, api_server).look() is RenewalResult.NOTHING_TO_RENEW
    await store(api, ending(25))
    assert await renewal(api, api_server).look() is RenewalResult.NOT_DUE
    await store(api, "users: [{user: {token: t}}]")
    assert await renewal(api, api_server).look() is RenewalResult.NOTHING_TO_RENEW


async def test_without_the_right_to_approve_the_request_waits_for_the_operator(
    api: httpx.AsyncClient, api_server: LocalApiServer
) -> None:
    text = ending(5)
    await store(api, text)

    async def no_approval(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/approval"):
            return httpx.Response(403)
        headers = {"Content-Type": request.headers.get("Content-Type", "application/json")}
        return await api.request(request.method, str(request.url), content=request.content, headers=headers)

    transport = httpx.MockTransport(no_approval)
    async with httpx.AsyncClient(transport=transport, base_url=api_server.url) as restricted:
        assert await renewal(restricted, api_server, approval_seconds=0.5).look() is RenewalResult.FAILED
    assert (await read_secret(api)).text == text


@pytest.mark.parametrize("verdict", ["Denied", "Failed"])
async def test_a_request_that_was_refused_changes_nothing(
    api: httpx.AsyncClient, api_server: LocalApiServer, verdict: str
) -> None:
    text = ending(5)
    await store(api, text)

    async def refusing(request: httpx.Request) -> httpx.Response:
        if "certificatesigningrequests" not in request.url.path:
            return await api.request(request.method, str(request.url))
        status = {"conditions": [{"type": verdict, "status": "True"}]}
        return httpx.Response(200, json={"metadata": {"name": "r"}, "status": status})

    transport = httpx.MockTransport(refusing)
    async with httpx.AsyncClient(transport=transport, base_url=api_server.url) as client:
        assert await renewal(client, api_server).look() is RenewalResult.FAILED
    assert (await read_secret(api)).text == text


async def test_a_certificate_of_a_signer_that_the_api_server_does_not_know_is_not_stored(
    api: httpx.AsyncClient, api_server: LocalApiServer
) -> None:
    text = ending(5)
    await store(api, text)
    stranger = Authority()
    asked: list[bytes] = []

    async def signing(request: httpx.Request) -> httpx.Response:
        if "certificatesigningrequests" not in request.url.path:
            return await api.request(request.method, str(request.url))
        if request.method == "POST":
            asked.append(base64.b64decode(orjson.loads(request.content)["spec"]["request"]))
        issued = stranger.sign(asked[0], time.time() - 60, time.time() + 90 * _DAY)
        status = {"certificate": base64.b64encode(issued).decode()}
        return httpx.Response(200, json={"metadata": {"name": "r"}, "status": status})

    async with httpx.AsyncClient(transport=httpx.MockTransport(signing), base_url=api_server.url) as client:
        assert await renewal(client, api_server).look() is RenewalResult.FAILED
    assert (await read_secret(api)).text == text


async def test_a_secret_that_somebody_else_changed_meanwhile_keeps_his_content(api: httpx.AsyncClient) -> None:
    await store(api, ending(5))
    stored = await read_secret(api)
    assert await replace_secret(api, stored, "his")
    assert not await replace_secret(api, stored, "ours")
    assert (await read_secret(api)).text == "his"
