"""Plays the kubelet of one SIMULATED node: a chute's pod becomes a process of the stand-in chute, and the other way.

No image is pulled and no container made. What it writes is what a kubelet would: phase, conditions, exit codes; it
deletes no object but a pod that somebody asked to be deleted and whose process has ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import structlog

from lab.embedded.cluster import NodeCluster

log = structlog.get_logger(__name__)

_POLL_SECONDS: Final = 0.3
_END_SECONDS: Final = 8.0
_FORCED: Final = {"gracePeriodSeconds": 0}
_ENVIRONMENT_OF_PODS: Final = ("PATH", "VIRTUAL_ENV", "HOME")


@dataclass(frozen=True)
class Pod:
    """What of a pod matters here."""

    namespace: str
    name: str
    uid: str
    phase: str
    is_ending: bool
    command: tuple[str, ...]
    environment: Mapping[str, str]

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> Pod:
        """From the API's object; its first container is the one that counts."""
        meta, container = item["metadata"], item["spec"]["containers"][0]
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            phase=item.get("status", {}).get("phase", "Pending"),
            is_ending="deletionTimestamp" in meta,
            command=(*container.get("command", []), *container.get("args", [])),
            environment={each["name"]: each.get("value", "") for each in container.get("env", [])},
        )

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"


def chute_arguments(command: Sequence[str], environment: Mapping[str, str], address: str) -> list[str]:
    """Arguments of the stand-in chute for a chute's command line.

    A node port leads to a container port; here the process listens on the node's address and node ports itself.
    """
    arguments = list(command[1:])
    if "--port" in arguments:
        place = arguments.index("--port")
        del arguments[place : place + 2]
    ports = {"--port": "CHUTES_PORT_PRIMARY", "--logging-port": "CHUTES_PORT_LOGGING"}
    for option, variable in ports.items():
        arguments += [option, environment[variable]]
    return [*arguments, "--host", address]


class SimulatedKubelet:
    """One node's. `run()` until cancelled; then every process of it is ended."""

    def __init__(self, cluster: NodeCluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    async def run(self) -> None:
        """Follow the pods of the node. An API server that does not answer is asked again: nothing ends for that."""
        try:
            async with self._cluster.client() as http:
                while True:
                    try:
                        await self._step(http)
                    except httpx.HTTPError as error:
                        log.warning("SIMULATED kubelet got no answer", node=self._cluster.node.name, error=repr(error))
                    await asyncio.sleep(_POLL_SECONDS)
        finally:
            for uid in list(self._processes):
                await self._end(uid)

    async def _step(self, http: httpx.AsyncClient) -> None:
        selector = {"fieldSelector": f"spec.nodeName={self._cluster.node.name}"}
        answer = await http.get("/api/v1/pods", params=selector)
        answer.raise_for_status()
        pods = [Pod.read(item) for item in answer.json()["items"]]
        for pod in pods:
            await self._reconcile(http, pod)
        for uid in set(self._processes) - {pod.uid for pod in pods}:
            await self._end(uid)

    async def _reconcile(self, http: httpx.AsyncClient, pod: Pod) -> None:
        process = self._processes.get(pod.uid)
        if pod.is_ending:
            await self._end(pod.uid)
            await http.request("DELETE", pod.path, json=_FORCED)
        elif pod.phase == "Pending":
            await self._start(http, pod)
        elif process is not None and process.returncode is not None:
            del self._processes[pod.uid]
            await _write(http, pod, finished(process.returncode, datetime.now(UTC)))
        elif process is None and pod.phase == "Running":  # it ran under an earlier run of this program
            await _write(http, pod, finished(137, datetime.now(UTC)))

    async def _start(self, http: httpx.AsyncClient, pod: Pod) -> None:
        now = datetime.now(UTC)
        if pod.command[:1] != ("chutes",):  # nothing to run: it ends well at once, as a warm-up does
            await _write(http, pod, finished(0, now))
            return
        arguments = chute_arguments(pod.command, pod.environment, self._cluster.node.address)
        environment = {name: os.environ[name] for name in _ENVIRONMENT_OF_PODS if name in os.environ}
        with (self._folder / f"{pod.name}.log").open("ab") as output:
            self._processes[pod.uid] = await asyncio.create_subprocess_exec(
                "setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "lab.chute", *arguments,
                env=environment | dict(pod.environment), stdout=output, stderr=output,
            )  # fmt: skip
        await _write(http, pod, running(self._cluster.node.address, now))

    async def _end(self, uid: str) -> None:
        process = self._processes.pop(uid, None)
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def running(address: str, now: datetime) -> dict[str, object]:
    """Status of a pod whose process runs."""
    stamp = now.isoformat()
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": stamp} for kind in ("Ready", "PodScheduled")]
    state = {"name": "chute", "ready": True, "restartCount": 0, "image": "simulated", "imageID": "simulated"}
    return {
        "phase": "Running",
        "podIP": address,
        "hostIP": address,
        "startTime": stamp,
        "conditions": conditions,
        "containerStatuses": [state | {"started": True, "state": {"running": {"startedAt": stamp}}}],
    }


def finished(code: int, now: datetime) -> dict[str, object]:
    """Status of a pod whose process has ended."""
    ended = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "finishedAt": now.isoformat()}
    state = {"name": "chute", "ready": False, "restartCount": 0, "image": "simulated", "imageID": "simulated"}
    return {
        "phase": "Succeeded" if code == 0 else "Failed",
        "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": now.isoformat()}],
        "containerStatuses": [state | {"state": {"terminated": ended}}],
    }


async def _write(http: httpx.AsyncClient, pod: Pod, status: Mapping[str, object]) -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = await http.patch(f"{pod.path}/status", content=json.dumps({"status": status}), headers=headers)
    if answer.status_code != httpx.codes.NOT_FOUND:  # gone in between: the next look shows it
        answer.raise_for_status()
