"""The cluster client against a real Kubernetes API server (spec: gepetto 17, 24.10)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from app.gepetto.kubernetes import manifests
from app.gepetto.kubernetes.client import ClusterClient, Clusters, client_from_kubeconfig
from app.gepetto.kubernetes.plan import DeploymentPlan, PodSettings
from app.gepetto.kubernetes.reading import pod_view
from app.gepetto.ports import LaunchFailedError, UnavailableError
from app.gepetto.world.views import NodeState
from app.protocol import labels
from lab.kubernetes.apiserver import LocalApiServer
from tests.support.agents import portable_kubeconfig

pytestmark = pytest.mark.service
PLAN = DeploymentPlan(
    "d1", "chute-1", "v1", "a/b:1", "chute:chute", "0.3.60", False, "5V", "node-1", "203.0.113.9",
    ("0" * 32,), 4, 80, token="made-up", config_id="c1", filename="chute.py", code="print()",
)  # fmt: skip
SETTINGS = PodSettings(miner_ss58="5M")


@pytest.fixture
async def client(api_server: LocalApiServer) -> AsyncIterator[ClusterClient]:
    client = client_from_kubeconfig(portable_kubeconfig(api_server, "node-1"), "chutes")
    namespace: dict[str, object] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "chutes"}}
    await client._call("POST", "/api/v1/namespaces", namespace)
    runtime: dict[str, object] = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": "nvidia"},
        "handler": "nvidia",
    }
    await client._call("POST", "/apis/node.k8s.io/v1/runtimeclasses", runtime)
    yield client
    await client.close()


async def test_a_deployment_is_created_found_and_removed_by_name(client: ClusterClient) -> None:
    await client.create_config_map(manifests.code_config_map(PLAN, SETTINGS))
    await client.create_config_map(manifests.code_config_map(PLAN, SETTINGS))
    ports = await client.create_service(manifests.service(PLAN, SETTINGS))
    assert set(ports) == {("TCP", 8000), ("TCP", 8001)}
    assert await client.create_service(manifests.service(PLAN, SETTINGS)) == ports
    await client.create_job(manifests.job(PLAN, SETTINGS, ports))
    assert await client.has_job("chute-d1")
    (view,) = await client.list_pods("server-1")
    assert (view.deployment_id, view.config_id, view.finished) == ("d1", "c1", False)
    await client.delete_deployment("d1")
    await client.delete_deployment("d1")
    assert await client.service_ports("chute-service-d1") is None


async def test_a_cordoned_node_shows_as_closed_or_draining_until_it_is_uncordoned(client: ClusterClient) -> None:
    node: dict[str, object] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-of-the-cordon"}}
    await client._call("POST", "/api/v1/nodes", node)
    try:
        assert await client.node_state("node-of-the-cordon") is NodeState.OPEN
        for state in (NodeState.CLOSED, NodeState.DRAINING, NodeState.OPEN):
            notes = {labels.DRAINING: "true"} if state is NodeState.DRAINING else {}
            path = "/api/v1/nodes/node-of-the-cordon"
            known = (await client._call("GET", path)).json()
            metadata = known["metadata"] | {"annotations": notes}
            spec = {"unschedulable": state is not NodeState.OPEN}
            changed = await client._call("PUT", path, known | {"metadata": metadata, "spec": spec})
            assert changed.status_code == 200, changed.text
            assert await client.node_state("node-of-the-cordon") is state
    finally:
        await client._call("DELETE", "/api/v1/nodes/node-of-the-cordon")


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_cluster_that_shows_no_nodes_says_of_none_that_it_is_closed(status: int) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status))
    client = ClusterClient(httpx.AsyncClient(transport=transport, base_url="https://cluster.invalid"), "chutes")
    assert await client.node_state("confidential") is NodeState.OPEN
    await client.close()


async def test_a_refused_object_fails_the_launch_and_a_dead_server_is_unavailable(client: ClusterClient) -> None:
    with pytest.raises(LaunchFailedError, match="422"):
        await client.create_job({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "Not A Name"}})
    dead = client_from_kubeconfig(
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"
        "users: [{name: u, user: {token: t}}]",
        "chutes",
    )
    with pytest.raises(UnavailableError):
        await dead.has_job("chute-d1")
    await dead.close()


async def test_a_connection_that_broke_is_used_once_more_and_then_given_up() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        if len(asked) != 2:
            raise httpx.ReadError("closed", request=request)
        return httpx.Response(409)

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="https://cluster.invalid")
    client = ClusterClient(http, "chutes")
    await client.create_job({"metadata": {"name": "chute-d1"}})  # the first attempt had arrived: it is there already
    assert asked == ["POST", "POST"]
    with pytest.raises(UnavailableError, match="ReadError"):
        await client.has_job("chute-d1")
    await client.close()


async def test_clients_are_kept_until_the_kubeconfig_changes(api_server: LocalApiServer) -> None:
    known = {"s1": ("node-1", portable_kubeconfig(api_server, "node-1")), "broken": ("x", "contexts: []")}
    clusters = Clusters(known.get, "chutes")
    first = await clusters.of("s1")
    assert await clusters.of("s1") is first
    known["s1"] = ("node-1", known["s1"][1] + "\n")
    assert await clusters.of("s1") is not first
    for server in ("broken", "unknown"):
        with pytest.raises(UnavailableError):
            await clusters.of(server)
    await clusters.close()


@pytest.mark.parametrize(
    ("status", "finished"),
    [
        ({"succeeded": 1}, True),
        ({"phase": "Failed"}, True),
        ({"containerStatuses": [{"name": "chute", "ready": False, "state": {"terminated": {}}}]}, False),
        ({"containerStatuses": [{"name": "chute", "ready": False, "state": {"terminated": {"exitCode": 1}}}]}, True),
        ({"containerStatuses": [{"name": "chute", "ready": True, "state": {}}]}, False),
    ],
)
def test_an_ended_container_ends_the_deployment(status: dict[str, object], finished: bool) -> None:
    item: dict[str, object] = {
        "metadata": {"labels": {"chutes/deployment-id": "d"}, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": status,
    }
    view = pod_view(item, "s")
    assert view is not None
    assert view.finished is finished
    assert pod_view({"metadata": {}}, "s") is None
