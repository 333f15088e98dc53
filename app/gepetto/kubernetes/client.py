"""One cluster's live Kubernetes API over HTTP: create, look, delete by name (spec: gepetto 19, 24.3, 24.10).

Own client instead of kr8s: its objects are cached per process and thread without a way to drop one when a kubeconfig
changes, and every wait here needs an end. Answers are facts; everything else is `UnavailableError`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import quote

import httpx

from app.gepetto.kubernetes.disk import free_disk_gb
from app.gepetto.kubernetes.plan import JsonObject, job_name, service_name
from app.gepetto.kubernetes.reading import at, merge, node_ports, node_state, pod_view
from app.gepetto.ports import LaunchFailedError, UnavailableError
from app.gepetto.world.views import NodeState, PodView
from app.protocol import labels
from app.protocol.cluster_access import KubeconfigError, open_client, parse_kubeconfig

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 60.0
#: We may not look at nodes here, or there is none of that name.
_NO_LOOK: Final = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND})


class ClusterClient:
    """A pooled client of one cluster; `close()` it when its kubeconfig changes."""

    def __init__(self, http: httpx.AsyncClient, namespace: str) -> None:
        self._http = http
        self.namespace = namespace

    async def close(self) -> None:
        await self._http.aclose()

    async def _call(self, method: str, path: str, body: JsonObject | None = None) -> httpx.Response:
        """One request, sent once more when its connection broke: everything here is by name, so that twice is once."""
        try:
            async with asyncio.timeout(READ_SECONDS + CONNECT_SECONDS):
                try:
                    return await self._http.request(method, path, json=body)
                except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                    return await self._http.request(method, path, json=body)  # an idle connection that had been closed
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
        return _object(answer, path)

    async def _read(self, path: str) -> JsonObject | None:
        """The object, or None on a positive 404."""
        answer = await self._call("GET", path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.status_code >= 400:
            raise UnavailableError(f"GET {path}: {answer.status_code}")
        return _object(answer, path)

    async def create_service(self, manifest: JsonObject) -> Mapping[tuple[str, int], int]:
        """Create the Service, or find the one of that name; node ports by protocol and port."""
        created = await self._create(self._services(), manifest)
        name = str(at(manifest, "metadata", "name"))
        ports = await self.service_ports(name) if created is None else node_ports(created)
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
        return None if found is None else node_ports(found)

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

    async def node_state(self, node: str) -> NodeState:
        """Whether a node is cordoned or drained. Pods of chutes name their node: no scheduler would stop them."""
        path = f"/api/v1/nodes/{quote(node, safe='')}"
        answer = await self._call("GET", path)
        if answer.status_code in _NO_LOOK:
            return NodeState.OPEN
        if answer.status_code >= 400:
            raise UnavailableError(f"GET {path}: {answer.status_code}")
        return node_state(answer.json())

    async def disk_free_gb(self) -> float | None:
        """Free disk of the cluster's node in GiB; None where it does not say."""
        nodes = await self._items("/api/v1/nodes", "nodes")
        pods = await self._items(f"/api/v1/namespaces/{self.namespace}/pods", "pods")
        return free_disk_gb(nodes[0], pods) if nodes else None

    async def _list(self, base: str, kind: str, selector: str) -> list[JsonObject]:
        return await self._items(f"{base}/namespaces/{self.namespace}/{kind}?labelSelector={selector}", kind)

    async def _items(self, path: str, kind: str) -> list[JsonObject]:
        answer = await self._call("GET", path)
        if answer.status_code >= 400:
            raise UnavailableError(f"list {kind}: {answer.status_code}")
        items = _object(answer, path).get("items")
        if not isinstance(items, list):
            raise UnavailableError(f"list {kind}: no items in the answer")
        return items

    async def warm_up(self, manifest: JsonObject) -> None:
        await self._create(self._jobs(), manifest)


def _object(answer: httpx.Response, path: str) -> JsonObject:
    """The answer's JSON object.

    Raises:
        UnavailableError: it is none: something else than the Kubernetes API answered.
    """
    try:
        found = answer.json()
    except ValueError as error:
        raise UnavailableError(f"{path}: the answer is not JSON") from error
    if not isinstance(found, dict):
        raise UnavailableError(f"{path}: the answer is no JSON object")
    return found


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("message", ""))[:300]
    except ValueError:
        return answer.text[:300]


def client_from_kubeconfig(text: str, namespace: str, context: str | None = None) -> ClusterClient:
    """A client of one context of a kubeconfig, or of its current one where there is none of that name.

    Raises:
        KubeconfigError: it cannot be used; the message holds none of its secrets.
    """
    try:
        access = parse_kubeconfig(text, context)
    except KubeconfigError:
        if context is None:
            raise
        access = parse_kubeconfig(text)
    return ClusterClient(open_client(access), namespace)


class Clusters:
    """Clients by server, made on first use and again when the kubeconfig changes.

    Args:
        kubeconfig_of: cluster name and kubeconfig of a server, as far as they are known.
        namespace: where chutes run.
        refresh: reads the kubeconfigs anew; asked for a server that was added since.
    """

    def __init__(
        self,
        kubeconfig_of: Callable[[str], tuple[str, str] | None],
        namespace: str,
        refresh: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._kubeconfig_of, self._namespace, self._refresh = kubeconfig_of, namespace, refresh
        self._clients: dict[str, tuple[str, ClusterClient]] = {}
        self._retired: list[ClusterClient] = []

    async def of(self, server_id: str) -> ClusterClient:
        """The client of a server's cluster.

        Raises:
            UnavailableError: no usable kubeconfig is known for it.
        """
        found = self._kubeconfig_of(server_id)
        if found is None and self._refresh is not None:
            await self._refresh()
            found = self._kubeconfig_of(server_id)
        if found is None:
            raise UnavailableError(f"no kubeconfig is known for server {server_id}")
        name, text = found
        known = self._clients.get(server_id)
        if known is not None and known[0] == text:
            return known[1]
        try:
            client = client_from_kubeconfig(text, self._namespace, name)
        except (KubeconfigError, ssl.SSLError) as error:
            raise UnavailableError(f"the kubeconfig of {name} cannot be used: {error}") from error
        self._clients[server_id] = (text, client)
        if known is not None:
            self._retired.append(known[1])  # a launch may still be using it
        return client

    async def close(self) -> None:
        for client in (*self._retired, *(client for _, client in self._clients.values())):
            await client.close()
        self._clients.clear()
        self._retired.clear()
