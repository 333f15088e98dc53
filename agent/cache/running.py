"""Which chutes have a pod on this node, by the node's own API server. Reads only.

Each GPU node is a cluster of its own. What was not read in full is an error, never an empty node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import httpx

from app.protocol.channels import ResourceType
from app.protocol.cluster_access import KubeconfigError, open_client, own_access
from app.protocol.kubernetes_reads import ClusterReadError, Collection, list_collection
from app.protocol.labels import CHUTE, CHUTE_ID

_TIMEOUT_SECONDS: Final = 60.0
#: A pod in another phase may still read or write its directory.
_OVER: Final = frozenset({"Succeeded", "Failed"})


class RunningUnknownError(RuntimeError):
    """Which chutes run cannot be told."""


def ask_running(environment: Mapping[str, str], namespace: str) -> frozenset[str]:
    """Ids of the chutes with a pod that has not ended, by the API server that KUBECONFIG or this pod names.

    Raises:
        RunningUnknownError: no answer, or none in full.
    """

    async def ask() -> frozenset[str]:
        async with asyncio.timeout(_TIMEOUT_SECONDS), open_client(own_access(environment)) as client:
            return await running_chutes(client, namespace)

    try:
        return asyncio.run(ask())
    except TimeoutError:
        raise RunningUnknownError(f"the API server gave no list of pods in {_TIMEOUT_SECONDS:g} s") from None
    except (ClusterReadError, KubeconfigError, OSError) as error:
        raise RunningUnknownError(str(error) or type(error).__name__) from None


async def running_chutes(client: httpx.AsyncClient, namespace: str) -> frozenset[str]:
    """Ids of the chutes with a pod in a namespace that has not ended.

    Raises:
        ClusterReadError: the list failed, or held a pod that cannot be read or does not say whose it is.
    """
    listing = await list_collection(client, Collection(ResourceType.POD, namespace))
    if listing.skipped:
        raise ClusterReadError(f"{listing.skipped} unreadable objects in {listing.collection.path}")
    found = set()
    for pod in listing.objects:
        chute_id = pod.labels.get(CHUTE_ID)
        if pod.phase in _OVER or (chute_id is None and pod.labels.get(CHUTE) != "true"):
            continue
        if not chute_id:
            raise ClusterReadError(f"pod {pod.name} is a chute's and has no label {CHUTE_ID}")
        found.add(chute_id)
    return frozenset(found)
