"""Kubernetes Events on Gepetto's own Deployment, so that `kubectl describe` shows what a person should know.

Best effort: outside of a cluster, or where the API refuses them, log and metrics still say the same. Never waited for.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from datetime import UTC, datetime
from typing import Final

import httpx
import structlog

from app.protocol.cluster_access import KubeconfigError, in_cluster_access, open_client

log = structlog.get_logger(__name__)

COMPONENT: Final = "gepetto"
WRITE_SECONDS: Final = 10.0
#: The same reason is written once in this time.
QUIET_SECONDS: Final = 60.0


def own_cluster() -> httpx.AsyncClient | None:
    """A client of the cluster that this process runs in; None outside of one."""
    try:
        return open_client(in_cluster_access(os.environ))
    except KubeconfigError as error:
        log.info("no Kubernetes events are written", reason=str(error))
        return None


class Notices:
    """Writes Events about the Deployment `gepetto`.

    Args:
        http: a client of the own cluster, or None. It is closed with this object.
        namespace: where the Deployment lies.
    """

    def __init__(self, http: httpx.AsyncClient | None, namespace: str) -> None:
        self._http, self._namespace = http, namespace
        self._tasks: set[asyncio.Task[None]] = set()
        self._written: dict[str, datetime] = {}

    def warn(self, reason: str, message: str) -> None:
        """Write a warning beside whatever else goes on."""
        now = datetime.now(UTC)
        last = self._written.get(reason)
        if self._http is None or (last is not None and (now - last).total_seconds() < QUIET_SECONDS):
            return
        self._written[reason] = now
        task = asyncio.create_task(self._write(self._http, reason, message, now))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def pending(self) -> int:
        """How many are being written."""
        return len(self._tasks)

    async def _write(self, http: httpx.AsyncClient, reason: str, message: str, now: datetime) -> None:
        at = now.isoformat(timespec="seconds").replace("+00:00", "Z")
        body = {
            "metadata": {"name": f"{COMPONENT}.{uuid.uuid4().hex[:16]}", "namespace": self._namespace},
            "involvedObject": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": COMPONENT,
                "namespace": self._namespace,
            },
            "type": "Warning",
            "reason": reason,
            "message": message[:1000],
            "source": {"component": COMPONENT},
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                answer = await http.post(f"/api/v1/namespaces/{self._namespace}/events", json=body)
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            log.warning("a Kubernetes event was not written", reason=type(error).__name__)
            return
        if answer.status_code >= 400:
            log.warning("a Kubernetes event was refused: its account needs create on events", status=answer.status_code)

    async def close(self) -> None:
        """Wait for what is being written, and close the client."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.aclose()
