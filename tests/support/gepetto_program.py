"""Gepetto as a program, and who acts around it: the SIMULATED validator's records of a bare node, and the kubelet.

GPUs are SIMULATED; a launch's key is a real one of protocol ogv1, locked by the validator and earned on the CPU.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson

from app.protocol import labels
from graval.backends.made_up import model_of_product
from lab.chute.launch import PodEnvironment, launch
from lab.chute.proof import PRODUCT_VARIABLE, Parties
from lab.validator.app import SimulatedValidator
from tests.support.confinement import confined_program
from tests.support.control import MINER
from tests.support.waiting import until

NODE, SERVER_ID, ADDRESS = "simulated-gpu-0", "server-of-the-test", "192.0.2.10"
PRODUCT = "SIMULATED-NVIDIA-H100-80GB-HBM3"
GPUS = tuple(f"{index:032x}" for index in range(2))
#: An ending that its cluster holds up waits for its pods (25 s here), and then for the next recovery, every 30 s.
PATIENCE_SECONDS = 150.0


@contextlib.asynccontextmanager
async def program(module: str, port: int, environment: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """A program of ours as its container starts it; it must end by itself within seconds of a SIGTERM."""
    values = {"PATH": os.environ["PATH"]} | environment
    values |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, env=values)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            await until(lambda: answers(client, "/ping"), seconds=PATIENCE_SECONDS, every=0.1)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 30)
    assert code in {0, -signal.SIGTERM}


@contextlib.asynccontextmanager
async def confined(port: int, folder: Path, environment: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """Gepetto as its container runs it: another user, a read-only root, one folder for scratch, an end when told."""
    async with (
        confined_program("app.gepetto", folder, environment),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        await until(lambda: answers(client, "/ping"), seconds=PATIENCE_SECONDS, every=0.1)
        yield client


async def answers(client: httpx.AsyncClient, path: str) -> bool:
    try:
        return (await client.get(path)).status_code == 200
    except httpx.HTTPError:
        return False


class Kubelet:
    """SIMULATED: reports a node, runs a Job's chute in this process, and lets its pods go."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def report_node(self) -> None:
        for path, body in (
            ("/api/v1/namespaces", {"metadata": {"name": labels.CHUTES_NAMESPACE}}),
            ("/apis/node.k8s.io/v1/runtimeclasses", {"metadata": {"name": "nvidia"}, "handler": "nvidia"}),
            ("/api/v1/nodes", {"metadata": {"name": NODE, "labels": {labels.SIMULATED: "true"}}}),
        ):
            assert (await self.http.post(path, json=body)).status_code in {201, 409}
        capacity = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "500Gi", "pods": "110"}
        await self.patch(f"/api/v1/nodes/{NODE}/status", {"status": {"capacity": capacity, "allocatable": capacity}})

    async def patch(self, path: str, body: dict[str, Any]) -> None:
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = await self.http.patch(path, content=orjson.dumps(body), headers=headers)
        assert answer.status_code == 200, answer.text

    async def items(self, kind: str, base: str = "/api/v1") -> list[dict[str, Any]]:
        answer = await self.http.get(f"{base}/namespaces/{labels.CHUTES_NAMESPACE}/{kind}")
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    async def jobs(self) -> list[dict[str, Any]]:
        return await self.items("jobs", "/apis/batch/v1")

    async def pod(self) -> tuple[PodEnvironment, Parties]:
        """What the one Job tells its pod: its environment, with what a lab's device plugin adds, and its command."""
        (job,) = await self.jobs()
        pod = job["spec"]["template"]["spec"]
        assert pod["nodeName"] == NODE
        (container,) = pod["containers"]
        environment = {item["name"]: item["value"] for item in container["env"]}
        (service,) = [item for item in await self.items("services") if item["spec"]["type"] == "NodePort"]
        node_ports = {port["port"]: str(port["nodePort"]) for port in service["spec"]["ports"]}
        assert environment["CHUTES_PORT_PRIMARY"] == node_ports[8000]
        assert environment["CHUTES_PORT_LOGGING"] == node_ports[8001]
        words = container["command"] + container.get("args", [])
        told = dict(itertools.pairwise(words))
        parties = Parties(told["--miner-ss58"], told["--validator-ss58"])
        return PodEnvironment.read(environment | {PRODUCT_VARIABLE: PRODUCT}), parties

    async def run_chute(self) -> str:
        """The pod's side of the launch with exactly what the Job gives; returns the instance's id."""
        pod, parties = await self.pod()
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await launch(pod, http, parties)).instance_id

    async def let_go(self) -> None:
        """Confirm the end of pods that are to go, again and again, as a kubelet does."""
        while True:
            for pod in await self.items("pods"):
                if pod["metadata"].get("deletionTimestamp"):
                    path = f"/api/v1/namespaces/{labels.CHUTES_NAMESPACE}/pods/{pod['metadata']['name']}"
                    await self.http.request("DELETE", path, json={"gracePeriodSeconds": 0})
            await asyncio.sleep(0.2)


def register(validator: SimulatedValidator) -> None:
    """The validator's records of one bare node and its verified GPUs."""
    state = validator.state
    state.servers[SERVER_ID] = {
        "server_id": SERVER_ID, "name": NODE, "ip": ADDRESS, "is_tee": False, "version": None,
        "maintenance_pending": False, "created_at": state.now_iso(), "updated_at": state.now_iso(),
        "miner_hotkey": MINER.ss58,
    }  # fmt: skip
    for index, gpu in enumerate(GPUS):
        state.nodes[gpu] = model_of_product(PRODUCT).model_dump() | {
            "uuid": gpu, "miner_hotkey": MINER.ss58, "server_id": SERVER_ID, "verification_host": ADDRESS,
            "gpu_identifier": "h100_sxm", "device_index": index, "verified_at": state.now_iso(),
            "verification_error": None,
        }  # fmt: skip
