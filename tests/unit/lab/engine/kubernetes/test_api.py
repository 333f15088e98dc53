"""Requests to an API server: refusals, outages, kinds that come and go."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import respx

from lab.engine.kubernetes.api import Api, ApiError, NoSuchKindError, UnreachableError
from lab.engine.kubernetes.kubeconfig import Access
from lab.engine.kubernetes.manifests import Manifest
from lab.engine.kubernetes.waiting import NotReadyError, until_ready

SERVER = "https://kubernetes.example.org"
PODS = {"resources": [{"kind": "Pod", "name": "pods", "namespaced": True}, {"kind": "Pod", "name": "pods/status"}]}
POD: Manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n"}}
READY = {"status": {"phase": "Succeeded"}}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    client = Api(Access(SERVER, "", False, "token", "", "", "default"))
    yield client
    await client.close()


@respx.mock(base_url=SERVER)
async def test_a_dropped_connection_is_tried_again_for_reads_alone(api: Api, respx_mock: respx.MockRouter) -> None:
    dropped = httpx.RemoteProtocolError("server disconnected")
    respx_mock.get("/x").mock(side_effect=[dropped, httpx.Response(200, json={"a": 1})])
    assert await api.call("GET", "/x") == {"a": 1}
    route = respx_mock.post("/x").mock(side_effect=dropped)
    with pytest.raises(UnreachableError, match="server disconnected"):
        await api.call("POST", "/x", {})
    assert route.call_count == 1


@respx.mock(base_url=SERVER)
async def test_a_refusal_tells_its_reason(api: Api, respx_mock: respx.MockRouter) -> None:
    status = {"message": "namespaces n not found", "reason": "NotFound", "details": {"kind": "namespaces"}}
    respx_mock.get("/x").respond(404, json=status)
    with pytest.raises(ApiError, match="namespaces n not found") as refused:
        await api.call("GET", "/x")
    assert refused.value.is_missing_namespace
    respx_mock.get("/y").respond(502, text="bad gateway")
    with pytest.raises(ApiError, match="bad gateway"):
        await api.call("GET", "/y")


@respx.mock(base_url=SERVER)
async def test_kinds_are_found_and_missing_ones_are_asked_for_again(api: Api, respx_mock: respx.MockRouter) -> None:
    respx_mock.get("/api/v1").respond(json=PODS)
    assert (await api.endpoint(POD)).object("p") == "/api/v1/namespaces/n/pods/p"
    group = respx_mock.get("/apis/example.org/v1").respond(404, json={})
    thing: Manifest = {"apiVersion": "example.org/v1", "kind": "Thing"}
    assert not await api.serves(thing)
    group.respond(json={"resources": [{"kind": "Thing", "name": "things", "namespaced": False}]})
    assert (await api.endpoint(thing)).collection == "/apis/example.org/v1/things"
    api.forget_kinds()
    group.respond(403, json={"message": "no"})
    with pytest.raises(ApiError):
        await api.serves(thing)
    assert not await api.has_namespaces("", "Node")
    with pytest.raises(NoSuchKindError):
        await api.endpoint({"kind": "Thing"})


@respx.mock(base_url=SERVER)
async def test_a_cluster_without_schemas_has_none(api: Api, respx_mock: respx.MockRouter) -> None:
    respx_mock.get("/openapi/v3/apis/apps/v1").respond(404, json={})
    assert await api.schemas("apps/v1") is None


@respx.mock(base_url=SERVER)
async def test_a_wait_outlives_a_restart_of_the_api_server(api: Api, respx_mock: respx.MockRouter) -> None:
    respx_mock.get("/api/v1").respond(json=PODS)
    answers: list[httpx.Response | Exception] = [
        httpx.ConnectError("refused"),
        httpx.Response(200, json={**POD, **READY}),
    ]
    respx_mock.get("/api/v1/namespaces/n/pods/p").mock(side_effect=answers)
    assert (await until_ready(api, POD, POD, 20)) == {**POD, **READY}


@respx.mock(base_url=SERVER)
async def test_a_server_that_stays_away_is_named_when_the_time_is_over(api: Api, respx_mock: respx.MockRouter) -> None:
    respx_mock.get("/api/v1").respond(json=PODS)
    respx_mock.get("/api/v1/namespaces/n/pods/p").mock(side_effect=httpx.ConnectError("refused"))
    with pytest.raises(NotReadyError, match=r"not ready after 0\.2 s") as late:
        await until_ready(api, POD, POD, 0.2)
    assert "refused" in late.value.details[0]
