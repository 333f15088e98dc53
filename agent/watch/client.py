"""The agent's calls to a monitor (spec: agent-monitor 6). Only 200 is success; the rest is the caller's matter."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Final, Self

import httpx

from app.protocol.channels import ResourceType
from app.protocol.monitoring import (
    AGENT_VERSION_HEADER,
    BATCH_FEATURE,
    DIGEST_FEATURE,
    DIGEST_HEADER,
    FEATURES_HEADER,
    RESYNC_HEADER,
)
from app.protocol.objects import (
    KubernetesObject,
    ObjectEvent,
    event_body,
    events_body,
    partial_snapshot_body,
    snapshot_body,
)
from app.protocol.signing import Purpose, Signer, nonce_v1

AGENT_VERSION: Final = "headframe/1"
_INVENTORY_WORD: Final = "inventory"


class MonitorError(RuntimeError):
    """A call failed. `status` is the monitor's answer, None when there was none."""

    def __init__(self, call: str, status: int | None, text: str) -> None:
        super().__init__(f"{call}: {f'monitor answered {status}' if status else 'no answer'}: {text[:200]}")
        self.status = status


class NotInInventoryError(MonitorError):
    """The monitor knows its servers, and this is none of them."""


class MonitorClient:
    """Calls one monitor for one cluster. Use as `async with`.

    Args:
        url: the monitor's address; a slash at its end is dropped.
        now: wall clock, Unix seconds.
    """

    def __init__(
        self,
        url: str,
        cluster: str,
        signer: Signer,
        *,
        timeout_seconds: float = 30,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.url = url.rstrip("/")
        self._path = f"/api/v1/clusters/{cluster}"
        self._signer = signer
        self._now = now
        self._http = httpx.AsyncClient(base_url=self.url, timeout=timeout_seconds, trust_env=False)
        self.features: frozenset[str] = frozenset()
        #: Set when the monitor could not read a batch: from then on events go singly, and a bad one harms no other.
        self.is_single = False

    @property
    def takes_batches(self) -> bool:
        """Whether the monitor said that it takes several events at once."""
        return BATCH_FEATURE in self.features and not self.is_single

    @property
    def takes_digests(self) -> bool:
        """Whether the monitor said that it compares digests. Only with batches: then there is one sender, which can
        be held while lists are sent."""
        return DIGEST_FEATURE in self.features and self.takes_batches

    async def register(self, objects: Sequence[KubernetesObject]) -> None:
        """POST a snapshot.

        Raises:
            NotInInventoryError: 404 with the words of a monitor, not of something between.
            MonitorError: any other failure; status 409 means that the cluster is known already.
        """
        await self._upload("POST", "", objects)

    async def replace(self, objects: Sequence[KubernetesObject]) -> None:
        """PUT a snapshot. Raises as `register`; status 410 means that the monitor wants a registration."""
        await self._upload("PUT", "/resources", objects)

    async def send(self, events: Sequence[ObjectEvent]) -> None:
        """PATCH one event, or POST several to a monitor that takes batches.

        Raises:
            MonitorError: it was not taken.
        """
        if len(events) == 1:
            await self._call("PATCH", "/resources", event_body(events[0]))
        else:
            await self._call("POST", "/events", events_body(events))

    async def heartbeat(self, digests: str = "") -> tuple[ResourceType, ...]:
        """PUT a sign of life.

        Args:
            digests: of all that this monitor has taken (`app.protocol.digests`); empty says nothing of it.

        Returns:
            The kinds of which the monitor wants a list, because it knows something else.

        Raises:
            MonitorError: 404, 409 and 410 ask for a snapshot.
        """
        moment = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="microseconds")
        body = f'{{"state":"active","timestamp":"{moment}"}}'.encode()
        response = await self._call("PUT", "/health", body, {DIGEST_HEADER: digests} if digests else {})
        wanted = response.headers.get(RESYNC_HEADER, "").split(",")
        return tuple(kind for kind in ResourceType if kind.value in wanted)

    async def replace_kinds(self, objects: Sequence[KubernetesObject], kinds: Sequence[ResourceType]) -> None:
        """PUT complete lists of some kinds, to a monitor that asked for them.

        Raises:
            MonitorError: as `replace`.
        """
        await self._call("PUT", "/resources", partial_snapshot_body(objects, kinds))

    async def unregister(self) -> None:
        """DELETE the cluster.

        Raises:
            MonitorError: it was not taken.
        """
        await self._call("DELETE", "", None)

    async def _upload(self, method: str, path: str, objects: Sequence[KubernetesObject]) -> None:
        response = await self._call(method, path, snapshot_body(objects))
        self.features = frozenset(response.headers.get(FEATURES_HEADER, "").replace(" ", "").split(","))

    async def _call(
        self, method: str, path: str, body: bytes | None, extra: Mapping[str, str] = MappingProxyType({})
    ) -> httpx.Response:
        call = f"{method} {self._path}{path}"
        nonce = nonce_v1(self._now())
        headers = (
            self._signer.management_headers(nonce, purpose=Purpose.MONITORING)
            if body is None
            else self._signer.management_headers(nonce, body=body) | {"Content-Type": "application/json"}
        )
        headers |= {AGENT_VERSION_HEADER: AGENT_VERSION, **extra}
        try:
            response = await self._http.request(method, f"{self._path}{path}", content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise MonitorError(call, None, type(error).__name__) from None
        if response.status_code == 404 and _INVENTORY_WORD in response.text:
            raise NotInInventoryError(call, 404, response.text)
        if response.status_code != 200:
            raise MonitorError(call, response.status_code, response.text)
        return response

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()
