"""Kubeconfigs of bare nodes out of the API's own cluster: found, absent, or a failure that quotes nothing."""

from __future__ import annotations

import base64

import httpx
import pytest
import respx

from app.api.node_kubeconfigs import NodeKubeconfigError, NotGrantedError, node_kubeconfig
from app.protocol.cluster_access import ClusterAccess, KubeconfigError

SERVER = "http://cluster.test"
PATH = f"{SERVER}/api/v1/namespaces/headframe-nodes/secrets/gpu-0"
TEXT = "apiVersion: v1\nusers: []\n"


def access() -> ClusterAccess:
    return ClusterAccess("in-cluster", SERVER, token="marker-token")


async def read() -> str | None:
    return await node_kubeconfig("headframe-nodes", "gpu-0", access)


@respx.mock
async def test_the_secret_named_like_the_node_holds_its_kubeconfig() -> None:
    data = {"data": {"kubeconfig": base64.b64encode(TEXT.encode()).decode()}}
    route = respx.get(PATH).mock(return_value=httpx.Response(200, json=data))
    assert await read() == TEXT
    assert route.calls.last.request.headers["Authorization"] == "Bearer marker-token"


@respx.mock
async def test_a_node_without_a_secret_is_none_of_ours() -> None:
    respx.get(PATH).mock(return_value=httpx.Response(404))
    assert await read() is None


@respx.mock
async def test_a_secret_that_was_not_granted_is_told_from_one_that_is_not_there() -> None:
    respx.get(PATH).mock(return_value=httpx.Response(403))
    with pytest.raises(NotGrantedError, match="Secret headframe-nodes/gpu-0 is not granted"):
        await read()


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(401), httpx.Response(200, json={"data": {}}), httpx.Response(200, text="marker-text"),
     httpx.Response(200, json={"data": {"kubeconfig": "no base64"}})],
)  # fmt: skip
@respx.mock
async def test_anything_else_is_a_failure_and_not_an_absence(answer: httpx.Response) -> None:
    respx.get(PATH).mock(return_value=answer)
    with pytest.raises(NodeKubeconfigError, match="Secret headframe-nodes/gpu-0") as caught:
        await read()
    assert "marker" not in str(caught.value)


@respx.mock
async def test_a_cluster_that_does_not_answer_is_a_failure() -> None:
    respx.get(PATH).mock(side_effect=httpx.ConnectError("refused"))
    with pytest.raises(NodeKubeconfigError, match="ConnectError"):
        await read()


async def test_outside_a_cluster_it_says_so() -> None:
    def none() -> ClusterAccess:
        raise KubeconfigError("this is no pod")

    with pytest.raises(NodeKubeconfigError, match="this is no pod"):
        await node_kubeconfig("headframe-nodes", "gpu-0", none)
