"""Helm releases that a killed run left pending: the next install of theirs would be refused for ever.

Only Helm's own record of the unfinished step is taken away, never an object of the release: the next `pulumi up`
installs or upgrades over what stands. Runs only once the stack's lock is known to be free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from app.protocol.cluster_access import KubeconfigError, open_client, parse_kubeconfig
from infra.spec.releases import RELEASES

_SELECTOR: Final = (
    f"owner=helm,name in ({','.join(RELEASES)}),status in (pending-install,pending-upgrade,pending-rollback)"
)
_CLUSTER_SECONDS: Final = 20.0


@dataclass(frozen=True)
class PendingRelease:
    """One record of an unfinished step, as Helm keeps it in a Secret."""

    release: str
    namespace: str
    status: str
    secret: str
    resource_version: str

    def __str__(self) -> str:
        return f"release {self.release} in {self.namespace} ({self.status})"


def pending_releases(listing: Mapping[str, Any]) -> list[PendingRelease]:
    """Those of a list of Secrets, in the order of their names. Pure."""
    found = []
    for item in listing.get("items") or []:
        meta = item["metadata"]
        labels = meta["labels"]
        found.append(
            PendingRelease(labels["name"], meta["namespace"], labels["status"], meta["name"], meta["resourceVersion"])
        )
    return sorted(found, key=lambda each: (each.namespace, each.secret))


def free_releases(kubeconfigs: Mapping[str, str]) -> list[str]:
    """Take the pending records out of every cluster; a sentence for each, and one for a cluster that does not answer.

    Args:
        kubeconfigs: node name -> kubeconfig.
    """
    return asyncio.run(_everywhere(kubeconfigs))


async def _everywhere(kubeconfigs: Mapping[str, str]) -> list[str]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_in_cluster(name, text)) for name, text in sorted(kubeconfigs.items())]
    return [sentence for task in tasks for sentence in task.result()]


async def _in_cluster(name: str, kubeconfig: str) -> list[str]:
    try:
        async with asyncio.timeout(_CLUSTER_SECONDS), open_client(parse_kubeconfig(kubeconfig)) as client:
            answer = await client.get("/api/v1/secrets", params={"labelSelector": _SELECTOR})
            answer.raise_for_status()
            return [await _free(client, name, each) for each in pending_releases(answer.json())]
    # What answers there may be another program: one cluster's strange words must not hide what was done in the others.
    except (KubeconfigError, httpx.HTTPError, OSError, ValueError, KeyError, TypeError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        return [
            f"{name}: its cluster was not asked for pending Helm releases ({reason}); run this again once it answers"
        ]


async def _free(client: httpx.AsyncClient, name: str, record: PendingRelease) -> str:
    # The precondition leaves a record alone that somebody's Helm has finished since it was listed.
    answer = await client.request(
        "DELETE",
        f"/api/v1/namespaces/{record.namespace}/secrets/{record.secret}",
        json={"preconditions": {"resourceVersion": record.resource_version}},
    )
    if answer.status_code in {httpx.codes.NOT_FOUND, httpx.codes.CONFLICT}:
        return f"{name}: {record} has moved on by itself"
    answer.raise_for_status()
    return f"{name}: {record} will be done anew"
