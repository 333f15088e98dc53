"""The two calls that adding a server makes to its cluster: read the node, label it. Plain HTTP, no Kubernetes client.

Credentials live in memory; client certificates pass through a private temporary file because OpenSSL reads only files.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote

import httpx
import orjson

from app.api.kubeconfig import ClusterFields, UserFields
from app.protocol import labels

TIMEOUT_SECONDS: Final = 15.0


class ClusterError(Exception):
    """The cluster did not answer, or not with what was asked for."""


@dataclass(frozen=True)
class NodeFacts:
    """What a node says of itself."""

    uid: str
    name: str
    labels: Mapping[str, str]
    capacity: Mapping[str, str]
    is_ready: bool
    #: What pods may be given; without it, all of the capacity.
    allocatable: Mapping[str, str] = field(default_factory=dict)

    @property
    def reports_gpus(self) -> bool:
        """Whether its capacity names GPUs."""
        return self.capacity.get(labels.NVIDIA_GPU_RESOURCE, "0") != "0"


class NodeApi(Protocol):
    """One cluster's nodes."""

    async def read(self, name: str) -> NodeFacts:
        """Read a node; ClusterError where it cannot be had."""
        ...

    async def label(self, name: str, wanted: Mapping[str, str]) -> NodeFacts:
        """Set labels beside the others; ClusterError where that fails."""
        ...


def facts_of(node: Mapping[str, object]) -> NodeFacts:
    """From a Kubernetes Node object.

    Raises:
        ClusterError: it is none.
    """
    metadata, status = node.get("metadata"), node.get("status")
    if not isinstance(metadata, dict) or not isinstance(status, dict) or not metadata.get("uid"):
        raise ClusterError("the cluster answered something that is not a node")
    conditions = status.get("conditions") or []
    return NodeFacts(
        uid=str(metadata["uid"]),
        name=str(metadata.get("name")),
        labels=dict(metadata.get("labels") or {}),
        capacity=dict(status.get("capacity") or {}),
        allocatable=dict(status.get("allocatable") or {}),
        is_ready=any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions),
    )


class HttpNodeApi:
    """Nodes of one cluster over its API server."""

    def __init__(self, http: httpx.AsyncClient, server: str) -> None:
        self._http = http
        self._server = server.rstrip("/")

    async def read(self, name: str) -> NodeFacts:
        """Read a node."""
        return await self._call("GET", name)

    async def label(self, name: str, wanted: Mapping[str, str]) -> NodeFacts:
        """Set labels by a strategic merge."""
        return await self._call("PATCH", name, orjson.dumps({"metadata": {"labels": dict(wanted)}}))

    async def _call(self, method: str, name: str, body: bytes | None = None) -> NodeFacts:
        url = f"{self._server}/api/v1/nodes/{quote(name, safe='')}"
        headers = {"Content-Type": "application/strategic-merge-patch+json"} if body else {}
        try:
            response = await self._http.request(method, url, content=body, headers=headers)
            response.raise_for_status()
            return facts_of(orjson.loads(response.content))
        except (httpx.HTTPError, orjson.JSONDecodeError) as error:
            raise ClusterError(f"{method} node {name}: {type(error).__name__} {error}".rstrip()) from error


@asynccontextmanager
async def connect(cluster: ClusterFields, user: UserFields) -> AsyncIterator[HttpNodeApi]:
    """Open a cluster's nodes by whitelisted kubeconfig fields.

    Raises:
        ClusterError: its certificates cannot be read.
    """
    async with open_http(cluster, user) as http:
        yield HttpNodeApi(http, cluster.server)


@asynccontextmanager
async def open_http(cluster: ClusterFields, user: UserFields) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a cluster's credentials, and with nothing from this process's environment.

    Raises:
        ClusterError: its certificates cannot be read.
    """
    headers = {"Authorization": f"Bearer {user.token}"} if user.token else {}
    auth = (user.username, user.password or "") if user.username else None
    client = httpx.AsyncClient(
        base_url=cluster.server, verify=_tls(cluster, user), headers=headers, auth=auth, timeout=TIMEOUT_SECONDS,
        trust_env=False,
    )  # fmt: skip
    async with client as http:
        yield http


def _tls(cluster: ClusterFields, user: UserFields) -> ssl.SSLContext:
    try:
        authority = b64decode(cluster.certificate_authority_data or "").decode() or None
        context = ssl.create_default_context(cadata=authority)
        if cluster.insecure_skip_tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if user.client_certificate_data and user.client_key_data:
            _load_pair(context, b64decode(user.client_certificate_data), b64decode(user.client_key_data))
    except (ssl.SSLError, ValueError) as error:
        raise ClusterError("the kubeconfig's certificates cannot be read") from error
    return context


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    descriptor, path = tempfile.mkstemp(prefix="headframe-")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate + b"\n" + key)
        context.load_cert_chain(path)
    finally:
        Path(path).unlink()


def derived_columns(node: NodeFacts) -> dict[str, int]:
    """GPU count, CPUs and memory (GiB) per GPU of a node (spec: protocol 4.1).

    Raises:
        ClusterError: the node reports no GPU or unreadable figures.
    """
    try:
        gpus = int(node.capacity.get(labels.NVIDIA_GPU_RESOURCE, "0"))
        if gpus < 1:
            raise ClusterError(f"node {node.name} reports no {labels.NVIDIA_GPU_RESOURCE}: is the GPU operator ready?")
        cpus = _cpus(node.capacity.get("cpu", "0")) - 2
        memory = _gibibytes(node.capacity.get("memory", "0")) - 6
        if "memory" in node.allocatable:  # a pod that asks for more than this never starts
            memory = min(memory, _gibibytes(node.allocatable["memory"]))
        vram = int(node.labels.get(labels.NVIDIA_GPU_MEMORY_MIB, str(32 * 1024))) // 1024
    except ValueError as error:
        raise ClusterError(f"node {node.name} reports figures that cannot be read: {error}") from error
    return {
        "gpu_count": gpus,
        "cpu_per_gpu": 1 if cpus <= gpus else min(4, cpus // gpus),
        "memory_per_gpu": 1 if memory <= gpus else max(1, min(vram, int(memory * 0.8 / gpus))),
    }


def _cpus(text: str) -> int:
    return int(text.removesuffix("m")) // 1000 if text.endswith("m") else int(text)


def _gibibytes(text: str) -> int:
    for suffix, kibibytes in (("Ki", 1), ("Mi", 1024), ("Gi", 1024**2), ("Ti", 1024**3)):
        if text.endswith(suffix):
            return int(text.removesuffix(suffix)) * kibibytes // 1024**2
    return int(text) // 1024**3
