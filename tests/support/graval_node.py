"""SIMULATED node for bootstraps: a real API server whose GraVal Jobs run in this process, on their own node port."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson

from app.protocol import labels
from app.protocol.cluster_access import open_client, parse_kubeconfig
from graval.backends.choice import open_backend
from graval.backends.cuda import CudaBackend
from graval.service.application import ServiceSettings, create_application
from graval.service.settings import BootstrapSettings
from graval.session import WorkLimits
from tests.support.serving import serving
from tests.support.waiting import until

PRODUCT = "SIMULATED-NVIDIA-H100-80GB-HBM3"
ADDRESS = "127.0.0.1"


class GravalNode:
    """One node of an API server that has no kubelet. Attributes script what happens to pods."""

    def __init__(self, http: httpx.AsyncClient, name: str, folder: Path, *, gpus: int = 2) -> None:
        self.http, self.name, self.folder, self.gpus = http, name, folder, gpus
        #: Devices that the service finds; fewer than `gpus` is a broken node.
        self.device_ids = [f"GPU-SIMULATED-{name}-{index}" for index in range(gpus)]
        #: What becomes of a Job: "run", "fail", "wait".
        self.fate = "run"
        self.started: list[dict[str, str]] = []

    async def report(self, *, product: str = PRODUCT) -> None:
        """Create the namespace and the node, Ready, with its labels."""
        node_labels = {
            labels.EXTERNAL_IP: ADDRESS, labels.TEE: "false", labels.NVIDIA_GPU_COUNT: str(self.gpus),
            labels.NVIDIA_GPU_MEMORY_MIB: str(80 * 1024), labels.NVIDIA_GPU_PRODUCT: product, labels.SIMULATED: "true",
        }  # fmt: skip
        for path, body in (
            ("/api/v1/namespaces", {"metadata": {"name": labels.CHUTES_NAMESPACE}}),
            ("/apis/node.k8s.io/v1/runtimeclasses", {"metadata": {"name": "nvidia"}, "handler": "nvidia"}),
            ("/api/v1/nodes", {"metadata": {"name": self.name, "labels": node_labels}}),
        ):
            assert (await self.http.post(path, json=body)).status_code in {201, 409}
        capacity = {"cpu": "66", "memory": "512Gi", labels.NVIDIA_GPU_RESOURCE: str(self.gpus)}
        ready = [{"type": "Ready", "status": "True", "reason": "t", "message": "t", "lastTransitionTime": None}]
        await self._status(f"/api/v1/nodes/{self.name}", {"capacity": capacity, "conditions": ready})

    async def items(self, kind: str, base: str = "/api/v1", selector: str = "") -> list[dict[str, Any]]:
        """Objects of the namespace."""
        path = f"{base}/namespaces/{labels.CHUTES_NAMESPACE}/{kind}"
        found: list[dict[str, Any]] = (await self.http.get(path, params={"labelSelector": selector})).json()["items"]
        return found

    async def leftovers(self) -> list[str]:
        """Names of everything that a bootstrap created and that is still there."""
        selector = f"graval-node={self.name}"
        kinds = (("jobs", "/apis/batch/v1"), ("networkpolicies", "/apis/networking.k8s.io/v1"))
        found = [item for kind, base in kinds for item in await self.items(kind, base, selector)]
        found += [item for kind in ("services", "pods") for item in await self.items(kind, selector=selector)]
        return [item["metadata"]["name"] for item in found]

    async def run(self) -> None:
        """Act kubelet and Job controller for this node's bootstraps, until cancelled."""
        while True:
            jobs = await self.items("jobs", "/apis/batch/v1", f"graval-node={self.name}")
            if jobs and self.fate == "run":
                await self._serve(jobs[0])
            elif jobs and self.fate == "fail":
                failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "it crashed"}
                extra = {"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded", "message": "x"}
                times = {"startTime": "2026-01-01T00:00:00Z"}
                path = f"/apis/batch/v1/namespaces/{labels.CHUTES_NAMESPACE}/jobs/{jobs[0]['metadata']['name']}"
                await self._status(path, times | {"failed": 1, "conditions": [extra, failed]})
            await asyncio.sleep(0.05)

    async def _serve(self, job: dict[str, Any]) -> None:
        name = job["metadata"]["name"]
        template = job["spec"]["template"]
        (container,) = template["spec"]["containers"]
        environment = {item["name"]: item["value"] for item in container["env"]}
        self.started.append(environment)
        (service,) = await self.items("services", selector=f"graval-node={self.name}")
        application = create_application(self._settings(environment))
        async with serving(application, service["spec"]["ports"][0]["nodePort"]):
            pod = {
                "metadata": {"name": f"{name}-x", "labels": template["metadata"]["labels"]},
                "spec": template["spec"],
            }
            pods = f"/api/v1/namespaces/{labels.CHUTES_NAMESPACE}/pods"
            pod["spec"].pop("runtimeClassName", None)
            created = await self.http.post(pods, json=pod)
            assert created.status_code == 201, created.text
            await self._status(
                f"{pods}/{name}-x", {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
            )
            await until(lambda: self._is_gone(name), seconds=120, every=0.05)
        await self.http.request("DELETE", f"{pods}/{name}-x", json={"gracePeriodSeconds": 0})

    async def _is_gone(self, job: str) -> bool:
        return all(one["metadata"]["name"] != job for one in await self.items("jobs", "/apis/batch/v1"))

    def _settings(self, environment: dict[str, str]) -> ServiceSettings:
        read = BootstrapSettings.model_validate(
            environment
            | {
                "GRAVAL_SIMULATED_MODEL": orjson.loads(environment["GRAVAL_SIMULATED_MODEL"]),
                "NVIDIA_VISIBLE_DEVICES": ",".join(self.device_ids),
            }
        )
        return ServiceSettings(
            miner=read.miner,
            whitelist=read.whitelist,
            backend=open_backend(
                read.backend, read.simulated_model, read.device_ids, lambda: CudaBackend(read.library)
            ),
            challenge_folder=self.folder,
            now=time.time,
            fresh_id=lambda: secrets.token_hex(16),
            limits=WorkLimits(fill_bytes=read.simulated_fill_bytes),
        )

    async def _status(self, path: str, status: dict[str, Any]) -> None:
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = await self.http.patch(f"{path}/status", content=orjson.dumps({"status": status}), headers=headers)
        assert answer.status_code in {200, 404}, answer.text  # it may have been deleted since it was listed


@asynccontextmanager
async def graval_node(kubeconfig: str, name: str, folder: Path, *, gpus: int = 2) -> AsyncIterator[GravalNode]:
    """A node that acts until the block ends, and is deleted then."""
    async with open_client(parse_kubeconfig(kubeconfig)) as http:
        node = GravalNode(http, name, folder, gpus=gpus)
        acting = asyncio.create_task(node.run())
        try:
            yield node
        finally:
            acting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await acting
            await http.delete(f"/api/v1/nodes/{name}")
