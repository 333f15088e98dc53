"""Complete reads of a Kubernetes API: whole lists at one version, and whether one object is still there.

All or nothing: a page that fails fails the list, because half a list looks like a smaller cluster. The HTTP client is
passed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import httpx
import msgspec

from app.protocol.channels import ResourceType
from app.protocol.objects import KubernetesObject, MalformedObjectError, parse_items, parse_object

_PAGE: Final = 500
_PATHS: Final = {
    ResourceType.NODE: "/api/v1/nodes",
    ResourceType.POD: "/api/v1/namespaces/{}/pods",
    ResourceType.SERVICE: "/api/v1/namespaces/{}/services",
    ResourceType.DEPLOYMENT: "/apis/apps/v1/namespaces/{}/deployments",
    ResourceType.JOB: "/apis/batch/v1/namespaces/{}/jobs",
}
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


class ClusterReadError(RuntimeError):
    """The API server did not give a complete answer; nothing may be concluded. `status` is its HTTP status, if any."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Presence(StrEnum):
    """Whether an object is there; another object under the same name counts as gone."""

    PRESENT = "present"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Collection:
    """One kind in one namespace; nodes have no namespace."""

    kind: ResourceType
    namespace: str | None = None

    @property
    def path(self) -> str:
        return _PATHS[self.kind].format(self.namespace)


@dataclass(frozen=True)
class Listing:
    """A complete list at one version."""

    collection: Collection
    version: str
    objects: tuple[KubernetesObject, ...]
    skipped: int = 0


class ListMetadata(msgspec.Struct):
    """The version of a list or a bookmark, and where its next page begins."""

    resourceVersion: str  # noqa: N815 - Kubernetes' own name
    continue_: str | None = msgspec.field(default=None, name="continue")


class _List(msgspec.Struct):
    metadata: ListMetadata
    items: list[msgspec.Raw] | None = None


_list_decoder: Final = msgspec.json.Decoder(_List)


async def list_collection(
    client: httpx.AsyncClient, collection: Collection, *, metadata_only: bool = False, attempts: int = 2
) -> Listing:
    """Read a whole collection at one version, in pages.

    Raises:
        ClusterReadError: any page failed. There is no partial result.
    """
    headers = {"Accept": _METADATA_ONLY} if metadata_only else {}
    objects: list[KubernetesObject] = []
    skipped, version = 0, ""
    parameters: dict[str, str] = {"limit": str(_PAGE)}
    while True:
        response = await _get(client, collection.path, parameters, headers)
        if (
            response.status_code == 410 and attempts > 1
        ):  # the pages' version expired while we read them: from the start
            return await list_collection(client, collection, metadata_only=metadata_only, attempts=attempts - 1)
        if response.status_code != 200:
            raise ClusterReadError(f"GET {collection.path} gave {response.status_code}", response.status_code)
        try:
            page = _list_decoder.decode(response.content)
        except msgspec.MsgspecError as error:
            raise ClusterReadError(f"GET {collection.path} gave no list: {error}") from None
        found, unreadable = parse_items(page.items or [], collection.kind)
        objects += found
        skipped += unreadable
        version = version or page.metadata.resourceVersion
        if not page.metadata.continue_:
            return Listing(collection, version, tuple(objects), skipped)
        parameters = {"limit": str(_PAGE), "continue": page.metadata.continue_}


async def look_up(client: httpx.AsyncClient, item: KubernetesObject) -> Presence:
    """Whether exactly this object is still there. Any answer but 200 and 404 leaves it open."""
    path = f"{Collection(item.kind, item.namespace).path}/{item.name}"
    try:
        response = await _get(client, path, {}, {})
    except ClusterReadError:
        return Presence.UNKNOWN
    if response.status_code == 404:
        return Presence.GONE
    if response.status_code != 200:
        return Presence.UNKNOWN
    try:
        found = parse_object(response.content, item.kind)
    except MalformedObjectError:
        return Presence.UNKNOWN
    return Presence.PRESENT if found.uid == item.uid or not item.uid else Presence.GONE


async def _get(
    client: httpx.AsyncClient, path: str, parameters: dict[str, str], headers: dict[str, str]
) -> httpx.Response:
    try:
        return await client.get(path, params=parameters, headers=headers)
    except (httpx.HTTPError, OSError) as error:
        raise ClusterReadError(f"GET {path} failed: {type(error).__name__}") from None
