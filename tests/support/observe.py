"""A monitor for tests: the real application on a real port, an inventory in memory, a client that signs."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

import httpx

from app.observe.api.application import Services, create_application
from app.observe.inventory import InventoryUnavailableError, Server
from app.observe.settings import MonitorSettings, ObservationMode
from app.protocol.signing import Purpose, Signer
from tests.support.serving import serving

SEED = secrets.token_hex(32)
SIGNER = Signer.from_seed(SEED)


@dataclass
class MemoryInventory:
    """Servers that a test declares. `is_down` makes it fail like a database that does not answer."""

    rows: list[Server] = field(default_factory=list)
    is_down: bool = False

    @classmethod
    def of(cls, *names: str) -> Self:
        return cls([Server(name, f"http://{name}.invalid:32000") for name in names])

    async def servers(self) -> tuple[Server, ...]:
        if self.is_down:
            raise InventoryUnavailableError("the test's inventory is down")
        return tuple(self.rows)

    async def contains(self, name: str) -> bool:
        return any(server.name == name for server in await self.servers())


def monitor_settings(redis_url: str, **changes: object) -> MonitorSettings:
    """Settings with a throw-away key, push only unless the test says otherwise."""
    values: dict[str, object] = {
        "miner_ss58": SIGNER.ss58,
        "miner_seed": SEED,
        "redis_url": redis_url,
        "observation_mode": ObservationMode.PUSH,
    }
    return MonitorSettings.model_validate(values | changes)


@dataclass
class RunningMonitor:
    """A monitor that serves on a loopback port."""

    url: str
    services: Services


@asynccontextmanager
async def running_monitor(
    settings: MonitorSettings,
    inventory: MemoryInventory,
    now: Callable[[], float] = time.time,
    port: int = 0,
) -> AsyncIterator[RunningMonitor]:
    """Serve until the block ends."""
    app = create_application(settings, inventory, now)
    async with serving(app, port) as url:
        yield RunningMonitor(url, app.state.services)


class AgentClient:
    """Calls a monitor as agents do, one signature a request."""

    def __init__(
        self,
        url: str,
        cluster: str = "gpu-1",
        *,
        agent: str = "",
        signer: Signer = SIGNER,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.url = url
        self.cluster = cluster
        self.http = httpx.AsyncClient(base_url=url, timeout=60, trust_env=False)
        self._agent = agent
        self._signer = signer
        self._now = now

    async def register(self, snapshot: bytes) -> httpx.Response:
        return await self.send("POST", "", snapshot)

    async def replace(self, snapshot: bytes) -> httpx.Response:
        return await self.send("PUT", "/resources", snapshot)

    async def event(self, event: bytes) -> httpx.Response:
        return await self.send("PATCH", "/resources", event)

    async def beat(
        self,
        body: bytes = b'{"state":"active","timestamp":"2026-01-01T00:00:00.000001+00:00"}',
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> httpx.Response:
        return await self.send("PUT", "/health", body, headers)

    async def unregister(self) -> httpx.Response:
        headers = self._signer.management_headers(str(int(self._now())), purpose=Purpose.MONITORING)
        return await self.http.delete(f"/api/v1/clusters/{self.cluster}", headers=headers)

    async def dashboard(self, path: str, **query: str) -> httpx.Response:
        headers = self._signer.management_headers(str(int(self._now())), purpose=Purpose.MANAGEMENT)
        return await self.http.get(f"/api/v1/monitoring{path}", params=query, headers=headers)

    async def send(
        self, method: str, path: str, body: bytes, extra: Mapping[str, str] = MappingProxyType({})
    ) -> httpx.Response:
        headers = self._signer.management_headers(str(int(self._now())), body=body)
        headers |= {"Content-Type": "application/json", **extra}
        if self._agent:
            headers["X-Agent-Version"] = self._agent
        return await self.http.request(method, f"/api/v1/clusters/{self.cluster}{path}", content=body, headers=headers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()
