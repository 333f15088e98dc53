"""The clean-up against a real API server (spec: agent-monitor 16, 23 X13)."""

from __future__ import annotations

import json
import os
import sys
import time
from asyncio import create_subprocess_exec, subprocess

import httpx
import orjson
import pytest

from agent.cleanup.__main__ import clean_up
from app.protocol.cluster_access import open_client
from app.protocol.kubernetes_reads import ClusterReadError
from lab.kubernetes.apiserver import LocalApiServer
from tests.support.agents import Cluster, access_of

pytestmark = pytest.mark.service
_JSON = {"Content-Type": "application/json"}


async def create_chute_service(cluster: Cluster, deployment_id: str) -> None:
    selector = {"chutes/deployment-id": deployment_id}
    metadata = {"name": f"s-{deployment_id}", "labels": {"chutes/chute": "true"}}
    body = {"metadata": metadata, "spec": {"ports": [{"port": 80}], "selector": selector}}
    path = f"/api/v1/namespaces/{cluster.namespace}/services"
    assert (await cluster.http.post(path, content=orjson.dumps(body), headers=_JSON)).status_code == 201


async def create_job(cluster: Cluster, deployment_id: str) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "chute", "image": "test.invalid/c:1"}]}}
    metadata = {"name": f"j-{deployment_id}", "labels": {"chutes/deployment-id": deployment_id}}
    path = f"/apis/batch/v1/namespaces/{cluster.namespace}/jobs"
    body = {"metadata": metadata, "spec": {"template": template}}
    assert (await cluster.http.post(path, content=orjson.dumps(body), headers=_JSON)).status_code == 201


async def services(cluster: Cluster) -> set[str]:
    items = (await cluster.http.get(f"/api/v1/namespaces/{cluster.namespace}/services")).json()["items"]
    return {item["metadata"]["name"] for item in items}


async def test_x13_a_service_survives_a_job_that_comes_late(cluster: Cluster) -> None:
    await create_chute_service(cluster, "d1")
    await clean_up(cluster.http, cluster.namespace, time.time())
    await clean_up(cluster.http, cluster.namespace, time.time() + 90)
    assert await services(cluster) == {"s-d1"}
    await create_job(cluster, "d1")
    await clean_up(cluster.http, cluster.namespace, time.time() + 9000)
    assert await services(cluster) == {"s-d1"}


async def test_x13_an_old_service_without_a_job_and_an_old_failed_pod_go(cluster: Cluster) -> None:
    await create_chute_service(cluster, "d2")
    await cluster.create_pod("p", **{"chutes/chute": "true"})
    await cluster.create_pod("other", app="other")
    for name in ("p", "other"):
        body = orjson.dumps({"status": {"phase": "Failed", "startTime": "2026-01-01T00:00:00Z"}})
        headers = {"Content-Type": "application/merge-patch+json"}
        path = f"/api/v1/namespaces/{cluster.namespace}/pods/{name}/status"
        assert (await cluster.http.patch(path, content=body, headers=headers)).status_code == 200
    removed, problems = await clean_up(cluster.http, cluster.namespace, time.time() + 600)
    assert problems == []
    assert {item.name for item in removed} == {"s-d2", "p"}
    assert await services(cluster) == set()
    assert "other" in await cluster.pods()


async def test_x13_a_list_that_fails_deletes_nothing(cluster: Cluster, api_server: LocalApiServer) -> None:
    await create_chute_service(cluster, "d3")

    class NoJobs(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(503) if "/jobs" in request.url.path else await real.send_through(request)

    class Real:
        async def send_through(self, request: httpx.Request) -> httpx.Response:
            headers = {"Authorization": f"Bearer {api_server.token}"}
            return await cluster.http.request(request.method, str(request.url), headers=headers)

    real = Real()
    async with httpx.AsyncClient(transport=NoJobs(), base_url=api_server.url) as failing:
        with pytest.raises(ClusterReadError, match="503"):
            await clean_up(failing, cluster.namespace, time.time() + 9000)
    assert await services(cluster) == {"s-d3"}


async def test_the_program_prints_what_it_did_and_fails_closed(cluster: Cluster, api_server: LocalApiServer) -> None:
    async def run(**environment: str) -> tuple[int | None, dict[str, object]]:
        values = {"PATH": os.environ["PATH"], "NAMESPACE": cluster.namespace, **environment}
        values |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
        process = await create_subprocess_exec(
            sys.executable, "-m", "agent.cleanup", env=values, stdout=subprocess.PIPE
        )
        output, _ = await process.communicate()
        return process.returncode, json.loads(output)

    assert await run(KUBECONFIG=str(api_server.kubeconfig)) == (0, {"removed": [], "problems": []})
    code, report = await run()
    assert (code, list(report)) == (1, ["fatal"])
    async with open_client(access_of(api_server)) as client:
        assert (await client.get("/readyz")).status_code == 200
