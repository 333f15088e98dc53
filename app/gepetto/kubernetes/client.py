"""One cluster's live Kubernetes API over HTTP: create, look, delete by name (spec: gepetto 19, 24.3, 24.10).

Own client instead of kr8s: its objects are cached per process and thread without a way to drop one when a kubeconfig
changes, and every wait here needs an end. Answers are facts; everything else is `UnavailableError`.
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import httpx
import yaml

from app.gepetto.kubernetes.manifests import JsonObject, job_name, service_name
from app.gepetto.ports import LaunchFailedError, UnavailableError
from app.gepetto.world.views import PodView
from app.protocol import labels

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 60.0


class ClusterClient:
    """A pooled client of one cluster; `close()` it when its kubeconfig changes."""

    def __init__(self, http: httpx.AsyncClient, namespace: str) -> None:
        self._http = http
        self.namespace = namespace

    async def close(self) -> None:
        await self._http.aclose()

    async def _call(self, method: str, path: str, body: JsonObject | None = None) -> httpx.Response:
        try:
            async with asyncio.timeout(READ_SECONDS + CONNECT_SECONDS):
                return await self._http.request(method, path, json=body)
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            raise UnavailableError(f"{method} {path}: {type(error).__name__}") from error

    def _services(self, name: str = "") -> str:
        return f"/api/v1/namespaces/{self.namespace}/services/{name}".rstrip("/")

    def _jobs(self, name: str = "") -> str:
        return f"/apis/batch/v1/namespaces/{self.namespace}/jobs/{name}".rstrip("/")

    async def _create(self, path: str, manifest: JsonObject) -> JsonObject | None:
        """The created object, or None where one of that name is there already."""
        answer = await self._call("POST", path, manifest)
        if answer.status_code == httpx.codes.CONFLICT:
            return None
        if answer.status_code >= 500 or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise UnavailableError(f"POST {path}: {answer.status_code}")
        if answer.status_code >= 400:
            raise LaunchFailedError(f"POST {path}: {answer.status_code} {_message(answer)}")
        found: JsonObject = answer.json()
        return found

    async def _read(self, path: str) -> JsonObject | None:
        """The object, or None on a positive 404."""
        answer = await self._call("GET", path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.status_code >= 400:
            raise UnavailableError(f"GET {path}: {answer.status_code}")
        found: JsonObject = answer.json()
        return found

    async def create_service(self, manifest: JsonObject) -> Mapping[tuple[str, int], int]:
        """Create the Service, or find the one of that name; node ports by protocol and port."""
        created = await self._create(self._services(), manifest)
        name = str(_at(manifest, "metadata", "name"))
        ports = await self.service_ports(name) if created is None else _node_ports(created)
        if not ports:
            raise LaunchFailedError(f"Service {name} has no node ports")
        return ports

    async def create_job(self, manifest: JsonObject) -> None:
        await self._create(self._jobs(), manifest)

    async def create_config_map(self, manifest: JsonObject) -> None:
        await self._create(f"/api/v1/namespaces/{self.namespace}/configmaps", manifest)

    async def service_ports(self, name: str) -> Mapping[tuple[str, int], int] | None:
        """Node ports of a Service; None when the cluster positively has none of that name."""
        found = await self._read(self._services(name))
        return None if found is None else _node_ports(found)

    async def has_job(self, name: str) -> bool:
        return await self._read(self._jobs(name)) is not None

    async def delete_deployment(self, deployment_id: str) -> None:
        """Delete Job and Service by name; the Job goes after its pod, as Kubernetes' foreground deletion does it."""
        foreground: JsonObject = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}
        for path, options in (
            (self._jobs(job_name(deployment_id)), foreground),
            (self._services(service_name(deployment_id)), None),
        ):
            answer = await self._call("DELETE", path, options)
            if answer.status_code >= 400 and answer.status_code != httpx.codes.NOT_FOUND:
                raise UnavailableError(f"DELETE {path}: {answer.status_code}")

    async def has_pods(self, deployment_id: str) -> bool:
        """Whether the live API shows the Job or any pod of a deployment."""
        if await self.has_job(job_name(deployment_id)):
            return True
        return bool(await self._list("/api/v1", "pods", f"{labels.DEPLOYMENT_ID}={deployment_id}"))

    async def list_pods(self, server_id: str) -> tuple[PodView, ...]:
        """Every deployment that the cluster shows a Job or a pod of, complete or not at all."""
        jobs = await self._list("/apis/batch/v1", "jobs", f"{labels.CHUTE}=true")
        pods = await self._list("/api/v1", "pods", f"{labels.CHUTE}=true")
        views: dict[str, PodView] = {}
        for item in (*jobs, *pods):
            view = pod_view(item, server_id)
            if view is not None:
                views[view.deployment_id] = merge(views.get(view.deployment_id), view)
        return tuple(views.values())

    async def _list(self, base: str, kind: str, selector: str) -> list[JsonObject]:
        answer = await self._call("GET", f"{base}/namespaces/{self.namespace}/{kind}?labelSelector={selector}")
        if answer.status_code >= 400:
            raise UnavailableError(f"list {kind}: {answer.status_code}")
        items = answer.json().get("items")
        if not isinstance(items, list):
            raise UnavailableError(f"list {kind}: no items in the answer")
        return items

    async def warm_up(self, manifest: JsonObject) -> None:
        await self._create(self._jobs(), manifest)


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("message", ""))[:300]
    except ValueError:
        return answer.text[:300]


def _at(item: object, *keys: str) -> object:
    for key in keys:
        item = item.get(key) if isinstance(item, dict) else None
    return item


def _node_ports(item: JsonObject) -> dict[tuple[str, int], int]:
    ports = _at(item, "spec", "ports")
    found: dict[tuple[str, int], int] = {}
    for port in ports if isinstance(ports, list) else []:
        if "nodePort" in port:
            found[str(port.get("protocol", "TCP")), int(port["port"])] = int(port["nodePort"])
    return found


def pod_view(item: JsonObject, server_id: str) -> PodView | None:
    """What a Job or a pod says of its deployment; None for an object without our label."""
    found = _at(item, "metadata", "labels")
    names = found if isinstance(found, dict) else {}
    deployment_id = names.get(labels.DEPLOYMENT_ID)
    if not deployment_id:
        return None
    created = str(_at(item, "metadata", "creationTimestamp") or "1970-01-01T00:00:00Z")
    status = _at(item, "status")
    state = status if isinstance(status, dict) else {}
    containers = state.get("containerStatuses") or []
    ended = any(_at(one, "state", "terminated") for one in containers if one.get("name") == "chute")
    return PodView(
        deployment_id=str(deployment_id),
        server_id=server_id,
        created_at=datetime.fromisoformat(created).timestamp(),
        config_id=names.get(labels.CONFIG_ID),
        job_id=names.get(labels.JOB_ID),
        ready=bool(containers) and all(one.get("ready") for one in containers),
        finished=bool(state.get("succeeded") or state.get("failed"))
        or state.get("phase") in {"Succeeded", "Failed"}
        or ended,
    )


def merge(known: PodView | None, other: PodView) -> PodView:
    """A deployment's Job and pods as one view."""
    if known is None:
        return other
    return PodView(
        known.deployment_id,
        known.server_id,
        min(known.created_at, other.created_at),
        known.config_id or other.config_id,
        known.job_id or other.job_id,
        known.ready or other.ready,
        known.finished or other.finished,
    )


def client_from_kubeconfig(text: str, namespace: str, context: str | None = None) -> ClusterClient:
    """A client of one context of a kubeconfig.

    Raises:
        ValueError: the kubeconfig has no such context or lacks its server; the message holds none of its secrets.
    """
    config = yaml.safe_load(text)
    contexts = {item["name"]: item["context"] for item in config.get("contexts") or []}
    chosen = contexts.get(context or "") or contexts.get(config.get("current-context", ""))
    if chosen is None:
        raise ValueError(f"the kubeconfig has no context {context!r}; it has {sorted(contexts)}")
    cluster = next(item["cluster"] for item in config["clusters"] if item["name"] == chosen["cluster"])
    user: dict[str, str] = next(
        (item["user"] for item in config.get("users") or [] if item["name"] == chosen["user"]), {}
    )
    headers = {"Authorization": f"Bearer {user['token']}"} if user.get("token") else {}
    http = httpx.AsyncClient(
        base_url=cluster["server"],
        headers=headers,
        verify=_tls(cluster, user),
        timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=8),
    )
    return ClusterClient(http, namespace)


def _tls(cluster: Mapping[str, str], user: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if "certificate-authority-data" in cluster:
        context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    elif "certificate-authority" in cluster:
        context = ssl.create_default_context(cafile=cluster["certificate-authority"])
    if "client-certificate-data" in user:
        _load_pair(context, user["client-certificate-data"], user["client-key-data"])
    elif "client-certificate" in user:
        context.load_cert_chain(user["client-certificate"], user["client-key"])
    return context


def _load_pair(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """The ssl module reads key pairs from files only: a private one, gone before this returns."""
    handle, name = tempfile.mkstemp(prefix="headframe-pair-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64decode(certificate) + b"\n" + base64.b64decode(key))
        context.load_cert_chain(name)
    finally:
        Path(name).unlink()


class Clusters:
    """Clients by server, made on first use and again when the kubeconfig changes."""

    def __init__(self, kubeconfig_of: Callable[[str], tuple[str, str] | None], namespace: str) -> None:
        self._kubeconfig_of, self._namespace = kubeconfig_of, namespace
        self._clients: dict[str, tuple[str, ClusterClient]] = {}

    async def of(self, server_id: str) -> ClusterClient:
        """The client of a server's cluster.

        Raises:
            UnavailableError: no usable kubeconfig is known for it.
        """
        found = self._kubeconfig_of(server_id)
        if found is None:
            raise UnavailableError(f"no kubeconfig is known for server {server_id}")
        name, text = found
        known = self._clients.get(server_id)
        if known is not None and known[0] == text:
            return known[1]
        if known is not None:
            await known[1].close()
        try:
            client = client_from_kubeconfig(text, self._namespace, name)
        except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError, ssl.SSLError) as error:
            raise UnavailableError(f"the kubeconfig of {name} cannot be used: {type(error).__name__}") from error
        self._clients[server_id] = (text, client)
        return client

    async def close(self) -> None:
        for _, client in self._clients.values():
            await client.close()
        self._clients.clear()
