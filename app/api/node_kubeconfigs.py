"""Kubeconfigs of bare nodes, from Secrets of the API's own cluster: they never travel over plain HTTP (DESIGN D17)."""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import httpx
import orjson

from app.protocol.cluster_access import ClusterAccess, KubeconfigError, in_cluster_access, open_client
from app.protocol.labels import NODE_KUBECONFIG_KEY

_NOT_FOUND: Final = 404
_FORBIDDEN: Final = 403


class NodeKubeconfigError(Exception):
    """The Secret cannot be read; the message holds nothing of it."""


class NotGrantedError(NodeKubeconfigError):
    """Nobody granted us this Secret: the stack declares no such node, or has not yet."""


def _in_cluster() -> ClusterAccess:
    return in_cluster_access(os.environ)


async def node_kubeconfig(namespace: str, node: str, access: Callable[[], ClusterAccess] = _in_cluster) -> str | None:
    """The kubeconfig of a node; None where it is no node of ours.

    Raises:
        NotGrantedError: it is not among the Secrets that we may read.
        NodeKubeconfigError: the cluster does not answer, or not with such a Secret.
    """
    place = f"Secret {namespace}/{node}"
    try:
        async with open_client(access()) as client:
            response = await client.get(f"/api/v1/namespaces/{quote(namespace)}/secrets/{quote(node, safe='')}")
    except (httpx.HTTPError, OSError, KubeconfigError) as error:
        raise NodeKubeconfigError(f"{place}: {type(error).__name__} {error}".rstrip()) from None
    if response.status_code == _NOT_FOUND:
        return None
    if response.status_code == _FORBIDDEN:
        raise NotGrantedError(f"{place} is not granted to this API: `pulumi up` grants it with the node's declaration")
    try:
        response.raise_for_status()
        return b64decode(orjson.loads(response.content)["data"][NODE_KUBECONFIG_KEY], validate=True).decode()
    except (httpx.HTTPStatusError, ValueError, KeyError, TypeError):
        raise NodeKubeconfigError(f"{place}: {response.status_code} without key {NODE_KUBECONFIG_KEY}") from None
