"""One server's trouble, or a moment without Redis, ends nothing that runs for the whole fleet."""

from __future__ import annotations

import asyncio
import time
from typing import cast

import orjson
import pytest
from redis.asyncio import Redis

from app.observe.informers import InformerSupervisor
from app.observe.intake import ListIntake
from app.observe.inventory import Server
from app.observe.metrics import MonitorMetrics
from app.observe.monitor import Monitor
from app.observe.readings import ClusterHealth, FleetView, ObservationUnavailableError
from app.observe.reconciler import AgentStarter, Reconciler
from app.observe.settings import ObservationMode
from app.observe.writer import EventWriter
from tests.support.observe import SIGNER, MemoryInventory, monitor_settings
from tests.support.waiting import running, until


class _Redis:
    """Lends the reconciler its lock and knows nothing; counts what informers ask."""

    def __init__(self) -> None:
        self.looked_for: list[str] = []

    async def set(self, *_: object, **__: object) -> bool:
        return True

    async def hgetall(self, _: str) -> dict[bytes, bytes]:
        return {}

    async def exists(self, key: str) -> int:
        self.looked_for.append(key)
        return 0


class _View:
    """A cache that cannot be read while agents are looked after."""

    def __init__(self) -> None:
        self.asked = 0

    async def cluster_names(self) -> tuple[str, ...]:
        return ()

    async def health(self, _: str) -> ClusterHealth:
        self.asked += 1
        raise ObservationUnavailableError("the fleet cache cannot be read: TimeoutError")


async def test_a_reconciler_goes_on_after_a_pass_in_which_redis_failed() -> None:
    view, settings = _View(), monitor_settings("redis://127.0.0.1:9", reconciliation_interval_seconds=0.01)
    reconciler = Reconciler(
        cast("Redis", _Redis()),
        cast("FleetView", view),
        cast("Monitor", None),
        MemoryInventory.of("gpu-1"),
        AgentStarter(SIGNER, "http://127.0.0.1:9", time.time),
        MonitorMetrics(),
        time.time,
        settings,
    )
    async with running(reconciler.run()):
        await until(lambda: view.asked >= 3)
    assert view.asked >= 3


def _kubeconfig(name: str, server: str) -> str:
    return orjson.dumps(
        {
            "clusters": [{"name": name, "cluster": {"server": server}}],
            "users": [{"name": name, "user": {"token": "t"}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
    ).decode()


@pytest.mark.parametrize(
    "damaged",
    [
        _kubeconfig("gpu-1", "https://[::1"),
        '{"contexts": 7, "clusters": [], "users": []}',
    ],
    ids=["half an address", "contexts that are a number"],
)
async def test_a_kubeconfig_that_cannot_be_used_stops_no_other_informer(damaged: str) -> None:
    redis = _Redis()
    inventory = MemoryInventory(
        [Server("gpu-1", None, damaged), Server("gpu-2", None, _kubeconfig("gpu-2", "https://192.0.2.2:6443"))]
    )
    settings = monitor_settings("redis://127.0.0.1:9", observation_mode=ObservationMode.BOTH, heartbeat_interval=0.01)
    supervisor = InformerSupervisor(
        cast("Redis", redis),
        inventory,
        cast("ListIntake", None),
        cast("EventWriter", None),
        cast("Monitor", None),
        MonitorMetrics(),
        time.time,
        settings,
    )
    async with running(supervisor.run()):
        await until(lambda: "clusters:gpu-2:health" in redis.looked_for)
        await asyncio.sleep(0.05)  # in which the other has failed, and the inventory was read again
    assert "clusters:gpu-2:health" in redis.looked_for
