"""The few objects that the API creates on a node's cluster: by name, over plain HTTP. It decides nothing.

Deleting what is not there is done already; every other answer that was not asked for is a `ClusterError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import httpx
import orjson

from app.api.cluster import ClusterError

JsonObject = dict[str, object]
_PATHS: Final[Mapping[str, str]] = {
    "Service": "/api/v1/namespaces/{}/services",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
}
_GONE_SECONDS: Final = 90.0
_LOOK_SECONDS: Final = 0.5


class ObjectApi:
    """Objects of one cluster. `http` carries its address and credentials."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def create(self, manifest: JsonObject) -> JsonObject:
        """Create an object; answers with what the cluster made of it."""
        return await self._call("POST", _collection(manifest), manifest)

    async def read(self, manifest: JsonObject) -> JsonObject | None:
        """The object as it is now; None where the cluster positively has none of that name."""
        return await self._call_or_none("GET", _path(manifest))

    async def delete(self, manifest: JsonObject) -> None:
        """Delete an object of that name, and what it owns."""
        await self._call_or_none("DELETE", _path(manifest), {"propagationPolicy": "Background"})

    async def pods(self, namespace: str, selector: str) -> list[JsonObject]:
        """Pods by a label selector."""
        path = f"/api/v1/namespaces/{namespace}/pods"
        items = (await self._call("GET", path, query={"labelSelector": selector})).get("items")
        return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []

    async def clear(self, manifests: Sequence[JsonObject], namespace: str, selector: str) -> None:
        """Delete objects and wait until no pod of theirs is left.

        Raises:
            ClusterError: the cluster refused, or pods stay for a minute and a half.
        """
        for manifest in reversed(manifests):
            await self.delete(manifest)
        try:
            async with asyncio.timeout(_GONE_SECONDS):
                while True:
                    if not await self.pods(namespace, selector):
                        return
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            raise ClusterError(f"pods {selector} in {namespace} do not end; look at them with kubectl") from None

    async def _call_or_none(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject | None:
        response = await self._send(method, path, body, {})
        return None if response.status_code == httpx.codes.NOT_FOUND else _object(method, path, response)

    async def _call(
        self, method: str, path: str, body: JsonObject | None = None, query: Mapping[str, str] | None = None
    ) -> JsonObject:
        return _object(method, path, await self._send(method, path, body, query or {}))

    async def _send(self, method: str, path: str, body: JsonObject | None, query: Mapping[str, str]) -> httpx.Response:
        content = None if body is None else orjson.dumps(body)
        try:
            headers = {"Content-Type": "application/json"}
            return await self._http.request(method, path, content=content, headers=headers, params=query)
        except httpx.HTTPError as error:
            raise ClusterError(f"{method} {path}: {type(error).__name__} {error}".rstrip()) from error


def node_port(service: JsonObject) -> int:
    """The port that a cluster gave to the first port of a NodePort Service.

    Raises:
        ClusterError: it gave none.
    """
    spec = service.get("spec")
    ports = spec.get("ports") if isinstance(spec, dict) else None
    found = ports[0].get("nodePort") if isinstance(ports, list) and ports and isinstance(ports[0], dict) else None
    if not isinstance(found, int):
        raise ClusterError("the cluster gave the Service no node port")
    return found


def _object(method: str, path: str, response: httpx.Response) -> JsonObject:
    try:
        found = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        found = {}
    if response.is_error or not isinstance(found, dict):
        said = found.get("message", "") if isinstance(found, dict) else ""
        raise ClusterError(f"{method} {path}: {response.status_code} {said}".rstrip())
    return found


def _metadata(manifest: JsonObject) -> Mapping[str, object]:
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict):
        raise ClusterError("an object without metadata")
    return metadata


def _collection(manifest: JsonObject) -> str:
    return _PATHS[str(manifest["kind"])].format(_metadata(manifest)["namespace"])


def _path(manifest: JsonObject) -> str:
    return f"{_collection(manifest)}/{_metadata(manifest)['name']}"
