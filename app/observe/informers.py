"""Which clusters are followed directly: one informer per server of the inventory that has a usable kubeconfig."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from redis.asyncio import Redis

from app.observe.informer import ClusterInformer, InformerServices
from app.observe.intake import ListIntake
from app.observe.inventory import Inventory, InventoryUnavailableError
from app.observe.metrics import MonitorMetrics
from app.observe.monitor import Monitor
from app.observe.settings import MonitorSettings
from app.observe.writer import EventWriter
from app.protocol.cluster_access import KubeconfigError, parse_kubeconfig

_INVENTORY_SECONDS: Final = 15.0
_log = structlog.get_logger(__name__)


class InformerSupervisor:
    """Keeps one informer per server that has a usable kubeconfig; a changed kubeconfig starts a new one."""

    def __init__(
        self,
        redis: Redis,
        inventory: Inventory,
        intake: ListIntake,
        writer: EventWriter,
        monitor: Monitor,
        metrics: MonitorMetrics,
        now: Callable[[], float],
        settings: MonitorSettings,
    ) -> None:
        self._inventory = inventory
        self._services = InformerServices(redis, intake, writer, monitor, metrics, now, settings)
        self._running: dict[str, tuple[str, asyncio.Task[None]]] = {}

    def is_followed(self, cluster: str) -> bool:
        """Whether an informer follows this cluster now, its first list taken in."""
        return cluster in self._services.followed

    async def run(self) -> None:
        """Follow the inventory; ends by cancellation, and the informers with it."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    wanted = {server.name: server.kubeconfig for server in await self._inventory.servers()}
                except InventoryUnavailableError as error:
                    _log.warning("informers stay as they are", error=str(error))
                else:
                    self._adjust(tasks, {name: text for name, text in wanted.items() if text})
                await asyncio.sleep(min(_INVENTORY_SECONDS, self._services.settings.heartbeat_interval))

    def _adjust(self, tasks: asyncio.TaskGroup, wanted: Mapping[str, str]) -> None:
        for name, (text, task) in list(self._running.items()):
            if wanted.get(name) != text:
                task.cancel()
                del self._running[name]
        for name, text in wanted.items():
            if name in self._running:
                continue
            try:
                access = parse_kubeconfig(text, name)
            except KubeconfigError as error:
                _log.warning("no direct informer", cluster=name, error=str(error))
                continue
            informer = ClusterInformer(name, access, self._services)
            self._running[name] = (text, tasks.create_task(informer.run()))
