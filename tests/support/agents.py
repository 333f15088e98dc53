"""An agent for tests: the real application on a real port, against a real API server; and a namespace of one's own."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import orjson

from agent.watch.api import create_application
from agent.watch.lifecycle import Lifecycle
from agent.watch.settings import AgentSettings
from app.protocol.cluster_access import ClusterAccess, open_client, parse_kubeconfig
from app.protocol.signing import Purpose
from lab.kubernetes.apiserver import LocalApiServer
from tests.support.observe import SEED, SIGNER
from tests.support.serving import serving

Json = dict[str, Any]


def access_of(server: LocalApiServer) -> ClusterAccess:
    """The administrator's access to a local API server."""
    return parse_kubeconfig(server.kubeconfig.read_text(), allow_files=True)


def portable_kubeconfig(server: LocalApiServer, name: str, url: str | None = None) -> str:
    """A kubeconfig with everything inside it, context named after the server, as a row of `servers` holds it."""
    authority = base64.b64encode(server.ca_file.read_bytes()).decode()
    document = {
        "clusters": [{"name": name, "cluster": {"server": url or server.url, "certificate-authority-data": authority}}],
        "users": [{"name": name, "user": {"token": server.token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return orjson.dumps(document).decode()


class Cluster:
    """Writes objects into one namespace of an API server, as a kubelet and a control plane would."""

    def __init__(self, http: httpx.AsyncClient, namespace: str) -> None:
        self.http = http
        self.namespace = namespace

    async def create_pod(self, name: str, **labels: str) -> Json:
        body = {
            "metadata": {"name": name, "labels": labels or {"chutes/chute": "true"}},
            "spec": {"containers": [{"name": "chute", "image": "test.invalid/chute:1"}]},
        }
        return await self._json("POST", "pods", body)

    async def label_pod(self, name: str, **labels: str) -> Json:
        return await self._patch(f"pods/{name}", {"metadata": {"labels": labels}})

    async def delete_pod(self, name: str, **options: object) -> None:
        body = orjson.dumps({"gracePeriodSeconds": 0, **options})
        answer = await self.http.request("DELETE", f"{self._base}/pods/{name}", content=body, headers=_JSON)
        assert answer.status_code in {200, 202, 404}, answer.text

    async def create_service(self, name: str) -> Json:
        return await self._json("POST", "services", {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}})

    async def finalize_pod(self, name: str, finalizers: list[str]) -> Json:
        return await self._patch(f"pods/{name}", {"metadata": {"finalizers": finalizers}})

    async def pods(self) -> dict[str, tuple[str, str]]:
        items = (await self.http.get(f"{self._base}/pods")).json()["items"]
        return {i["metadata"]["name"]: (i["metadata"]["uid"], i["metadata"]["resourceVersion"]) for i in items}

    @property
    def _base(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}"

    async def _json(self, method: str, path: str, body: Json) -> Json:
        answer = await self.http.request(method, f"{self._base}/{path}", content=orjson.dumps(body), headers=_JSON)
        assert answer.status_code in {200, 201}, answer.text
        return cast("Json", answer.json())

    async def _patch(self, path: str, body: Json) -> Json:
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = await self.http.patch(f"{self._base}/{path}", content=orjson.dumps(body), headers=headers)
        assert answer.status_code == 200, answer.text
        return cast("Json", answer.json())


_JSON = {"Content-Type": "application/json"}


@asynccontextmanager
async def own_cluster(server: LocalApiServer, namespace: str = "") -> AsyncIterator[Cluster]:
    """A namespace of one's own."""
    name = namespace or f"t{uuid.uuid4().hex[:12]}"
    async with open_client(access_of(server)) as http:
        body = orjson.dumps({"metadata": {"name": name}})
        answer = await http.post("/api/v1/namespaces", content=body, headers=_JSON)
        assert answer.status_code in {201, 409}, answer.text
        yield Cluster(http, name)


@dataclass
class RunningAgent:
    """An agent that serves on a loopback port."""

    url: str
    lifecycle: Lifecycle
    http: httpx.AsyncClient

    async def start(self, monitor_url: str) -> httpx.Response:
        return await self.start_raw(orjson.dumps({"control_plane_url": monitor_url}))

    async def start_raw(self, body: bytes) -> httpx.Response:
        headers = SIGNER.management_headers(str(int(time.time())), body=body)
        return await self.http.post("/monitor/start", content=body, headers=headers)

    async def stop(self) -> httpx.Response:
        return await self._signed_get("/monitor/stop", Purpose.MONITORING)

    async def kubeconfig(self) -> httpx.Response:
        return await self._signed_get("/config/kubeconfig", Purpose.REGISTRATION)

    async def state(self) -> str:
        return str((await self.http.get("/monitor/status")).json()["state"])

    async def _signed_get(self, path: str, purpose: Purpose) -> httpx.Response:
        headers = SIGNER.management_headers(str(int(time.time())), purpose=purpose)
        return await self.http.get(path, headers=headers)


def agent_settings(folder: Path, namespaces: list[str], **changes: object) -> AgentSettings:
    """Settings with the throw-away key of the test monitor."""
    values: dict[str, object] = {
        "miner_ss58": SIGNER.ss58,
        "miner_seed": SEED,
        "cluster_name": "gpu-1",
        "watch_namespaces": namespaces,
        "control_plane_url_file": folder / "control_plane_url",
        "heartbeat_interval": 0.5,
        "sync_spacing_seconds": 0.2,
        "control_plane_timeout": 20,
    }
    return AgentSettings.model_validate(values | changes)


@asynccontextmanager
async def running_agent(
    settings: AgentSettings, access: ClusterAccess, now: Callable[[], float] = time.time
) -> AsyncIterator[RunningAgent]:
    """Serve until the block ends."""
    app = create_application(settings, access, now)
    async with serving(app) as url, httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
        yield RunningAgent(url, app.state.lifecycle, http)


async def eventually(condition: Callable[[], Any], timeout_seconds: float = 60, what: str = "the condition") -> None:
    """Wait until an awaitable condition holds; long enough for a slow machine, since success never waits.

    Raises:
        AssertionError: it did not in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if await condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{what} did not come true in {timeout_seconds} s")
