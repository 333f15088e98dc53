"""A reader straight over a simulated chain, without node and SDK: for rules that are to hold over many ranges."""

from __future__ import annotations

from collections.abc import Sequence

from lab.chain.chain import Chain
from tests.support.chains import NETWORK, Addresses
from tracker.chain.reader import Block


class MemoryReader:
    """Answers what a snapshot and a walk back ask."""

    def __init__(self, source: Chain) -> None:
        self._source = source
        self._addresses = Addresses()
        self.network = NETWORK
        self.endpoint_host = "memory"
        self.sdk = "none"

    async def finalized(self) -> Block:
        return await self.block(self._source.finalized)

    async def block(self, number: int) -> Block:
        return Block(number, self._source.hash_of(number))

    async def spec_version(self) -> int:
        return 461

    async def slot_milliseconds(self) -> int:
        return 12_000

    async def value(self, item: str, at: Block) -> object:
        if item != "Timestamp.Now":
            raise NotImplementedError(item)
        return self._source.time_milliseconds(at.number)

    async def mapping(self, item: str, at: Block) -> dict[int, object]:
        if item != "SubtensorModule.NetworksAdded":
            raise NotImplementedError(item)
        return {netuid: True for netuid, subnet in self._source.state(at.number).items() if subnet.exists}

    async def per_subnet(self, item: str, netuids: Sequence[int], at: Block) -> list[object]:
        state = self._source.state(at.number)
        values = {
            "SubtensorModule.SubnetworkN": lambda netuid: len(state[netuid].hotkeys),
            "SubtensorModule.NetworkRegisteredAt": lambda netuid: state[netuid].registered_at,
            "SubtensorModule.Burn": lambda netuid: state[netuid].burn_at(at.number),
        }
        return [values[item](netuid) if netuid in state else 0 for netuid in netuids]

    async def hotkeys(self, seats: Sequence[tuple[int, int]], at: Block) -> list[str]:
        state = self._source.state(at.number)
        return [
            self._addresses.of(state[netuid].hotkeys[uid] if uid < len(state[netuid].hotkeys) else bytes(32))
            for netuid, uid in seats
        ]

    async def registrations(self, seats: Sequence[tuple[int, int]], at: Block) -> list[int]:
        state = self._source.state(at.number)
        return [state[netuid].registered[uid] if uid < len(state[netuid].registered) else 0 for netuid, uid in seats]

    async def coldkeys(self, hotkeys: Sequence[str], at: Block) -> list[str]:
        raise NotImplementedError(f"{len(hotkeys)} owners at {at.number}")

    async def close(self) -> None:
        return None
