"""Snapshots straight from the simulated chain, and a running node, for tests of the tracker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from lab.chain.chain import Chain
from lab.chain.node import Faults, Node
from lab.chain.runtime import Runtime
from lab.chain.scale import ss58
from lab.chain.scenarios import full, small
from tracker.model import Snapshot, Subnet

NETWORK = "simulated"


def chain(scenario: str = "small", *, outages: tuple[tuple[int, int], ...] = ()) -> Chain:
    """A fresh simulated chain."""
    return (small if scenario == "small" else full)(Chain([(0, Runtime())], outages=outages))


class Addresses:
    """SS58 addresses of raw keys, remembered: encoding a full chain anew takes most of a second."""

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}

    def of(self, key: bytes) -> str:
        if key not in self._known:
            self._known[key] = ss58(key)
        return self._known[key]


def snapshot_of(source: Chain, block: int, addresses: Addresses | None = None) -> Snapshot:
    """What a right snapshot of this block holds."""
    names = addresses or Addresses()
    subnets = {
        netuid: Subnet(
            netuid=netuid,
            hotkeys={uid: names.of(key) for uid, key in enumerate(subnet.hotkeys)},
            registered=dict(enumerate(subnet.registered)),
            registered_at=subnet.registered_at,
            burn_rao=subnet.burn_at(block),
            block=block,
        )
        for netuid, subnet in sorted(source.state(block).items())
        if subnet.exists
    }
    moment = datetime.fromtimestamp(source.time_milliseconds(block) / 1000, tz=UTC)
    return Snapshot(NETWORK, block, moment, subnets, block_hash=source.hash_of(block), finalized=True, spec_version=461)


@dataclass(frozen=True)
class Running:
    """A node that listens."""

    node: Node
    url: str


@asynccontextmanager
async def running(source: Chain, faults: Faults | None = None, *, pruned: bool = False) -> AsyncIterator[Running]:
    """A simulated node on a free loopback port."""
    node = Node(source, faults, pruned=pruned)
    server = await node.start()
    port = next(iter(server.sockets)).getsockname()[1]
    try:
        yield Running(node, f"ws://127.0.0.1:{port}")
    finally:
        server.close()
        await server.wait_closed()
