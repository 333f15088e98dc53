"""The cluster of one SIMULATED node: a real API server, and a Node object that no kubelet stands behind."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx

from agent.watch.kubeconfig import SECRET_NAME, SECRET_NAMESPACE
from app.protocol.cluster_access import open_client, parse_kubeconfig
from app.protocol.labels import CHUTES_NAMESPACE
from lab.embedded.model import SimulatedNode
from lab.kubernetes.apiserver import DEFAULT_CONTROLLERS, LocalApiServer

#: Jobs become pods, and finished ones go in time, as in a whole cluster.
CONTROLLERS: Final = (*DEFAULT_CONTROLLERS, "job-controller", "ttl-after-finished-controller")
RUNTIME_CLASS: Final = "nvidia"


class NodeCluster:
    """A node's cluster. Start and stop from the main thread: the kernel ends its processes with that thread."""

    def __init__(self, node: SimulatedNode, folder: Path) -> None:
        self.node = node
        self.server = LocalApiServer(folder, CONTROLLERS)

    @property
    def kubeconfig(self) -> str:
        """Kubeconfig whose context is the node's name (D4), with everything in it."""
        authority = base64.b64encode(self.server.ca_file.read_bytes()).decode()
        name = self.node.name
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {"name": name, "cluster": {"server": self.server.url, "certificate-authority-data": authority}}
                ],
                "users": [{"name": name, "user": {"token": self.server.token}}],
                "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
                "current-context": name,
            }
        )

    def client(self) -> httpx.AsyncClient:
        """An administrator's client, to be closed by the caller."""
        return open_client(parse_kubeconfig(self.kubeconfig))

    async def prepare(self, now: datetime.datetime) -> None:
        """Make what the node's set-up would have made; what is there already stays.

        Raises:
            httpx.HTTPStatusError: the API server refused an object.
        """
        node = self.node
        async with self.client() as http:
            await _ensure(http, "/api/v1/namespaces", {"metadata": {"name": CHUTES_NAMESPACE}})
            runtime = {"metadata": {"name": RUNTIME_CLASS}, "handler": RUNTIME_CLASS}
            await _ensure(http, "/apis/node.k8s.io/v1/runtimeclasses", runtime)
            secret = {
                "metadata": {"name": SECRET_NAME, "namespace": SECRET_NAMESPACE},
                "stringData": {"kubeconfig": self.kubeconfig},
            }
            await _ensure(http, f"/api/v1/namespaces/{SECRET_NAMESPACE}/secrets", secret)
            await _ensure(http, "/api/v1/nodes", {"metadata": {"name": node.name, "labels": node.labels()}})
            ready = {"type": "Ready", "status": "True", "reason": "Simulated", "message": "SIMULATED node"}
            stamp = {"lastHeartbeatTime": now.isoformat(), "lastTransitionTime": now.isoformat()}
            status = {
                "capacity": node.capacity(),
                "allocatable": node.capacity(),
                "addresses": [{"type": "ExternalIP", "address": node.address}],
                "conditions": [ready | stamp],
            }
            await _patch(http, f"/api/v1/nodes/{node.name}/status", {"status": status})


async def _ensure(http: httpx.AsyncClient, path: str, body: Mapping[str, object]) -> None:
    answer = await http.post(path, json=body)
    if answer.status_code != httpx.codes.CONFLICT:
        answer.raise_for_status()


async def _patch(http: httpx.AsyncClient, path: str, body: Mapping[str, object]) -> None:
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    answer = await http.patch(path, content=json.dumps(body), headers=headers)
    answer.raise_for_status()
