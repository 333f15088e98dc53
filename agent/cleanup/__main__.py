"""The clean-up as a program: `python -m agent.cleanup`, once a minute. Exit code 1 when anything could not be done.

A list that fails ends the run before its first deletion: "no job" and "jobs could not be read" are different things.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

import httpx

from agent.cleanup.decision import Removal, decide
from app.protocol.channels import ResourceType
from app.protocol.cluster_access import KubeconfigError, open_client, own_access
from app.protocol.kubernetes_reads import ClusterReadError, Collection, list_collection
from app.protocol.labels import CHUTES_NAMESPACE

_TIMEOUT_SECONDS = 50.0


async def clean_up(client: httpx.AsyncClient, namespace: str, now: float) -> tuple[list[Removal], list[str]]:
    """Read, decide, delete: what was removed, and what could not be.

    Raises:
        ClusterReadError: a list failed, or held an object that could not be read; nothing was deleted.
    """
    lists = {}
    # Services first: a service that appears after this list is not judged by jobs that are older than it.
    for kind in (ResourceType.SERVICE, ResourceType.POD, ResourceType.JOB):
        listing = await list_collection(client, Collection(kind, namespace))
        if listing.skipped:
            raise ClusterReadError(f"{listing.skipped} unreadable objects in {listing.collection.path}")
        lists[kind] = listing.objects
    removed, problems = [], []
    for removal in decide(lists[ResourceType.POD], lists[ResourceType.JOB], lists[ResourceType.SERVICE], now):
        problem = await _remove(client, removal)
        if problem is None:
            removed.append(removal)
        else:
            problems.append(f"{removal.kind} {removal.name}: {problem}")
    return removed, problems


async def _remove(client: httpx.AsyncClient, removal: Removal) -> str | None:
    path = f"{Collection(removal.kind, removal.namespace).path}/{removal.name}"
    conditions = {"uid": removal.uid, "resourceVersion": removal.resource_version}
    try:
        response = await client.request("DELETE", path, json={"preconditions": conditions})
    except httpx.HTTPError as error:
        return type(error).__name__
    # 404: gone already; 409: it changed since it was judged, so the next run judges it anew.
    return None if response.status_code in {200, 202, 404, 409} else f"API answered {response.status_code}"


async def _main() -> int:
    namespace = os.environ.get("NAMESPACE", CHUTES_NAMESPACE)
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS), open_client(own_access(os.environ)) as client:
            removed, problems = await clean_up(client, namespace, time.time())
    except (ClusterReadError, KubeconfigError, TimeoutError, OSError) as error:
        print(json.dumps({"fatal": str(error) or type(error).__name__}))
        return 1
    report = [{"kind": item.kind.value, "name": item.name, "reason": item.reason} for item in removed]
    print(json.dumps({"removed": report, "problems": problems}))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
