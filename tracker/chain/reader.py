"""What the tracker asks of a chain. Every read names the block by its hash, so that a snapshot is of one block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Block:
    """A block by number and hash."""

    number: int
    hash: str


class ChainReader(Protocol):
    """One connection to one chain.

    Every method but `close` may raise a `TrackerError`: unreachable, refused by policy, state pruned, response too big,
    or a transient failure of the node.
    """

    network: str
    endpoint_host: str
    sdk: str

    async def finalized(self) -> Block:
        """The newest block that cannot be reorganised away."""
        ...

    async def block(self, number: int) -> Block:
        """The block of a number."""
        ...

    async def spec_version(self) -> int:
        """Version of the runtime at the head."""
        ...

    async def slot_milliseconds(self) -> int:
        """Length of a slot: 12,000 on the main network, 250 on fast local chains."""
        ...

    async def value(self, item: str, at: Block) -> object:
        """A plain storage value named `Pallet.Item`."""
        ...

    async def mapping(self, item: str, at: Block) -> dict[int, object]:
        """A whole storage map from netuid."""
        ...

    async def per_subnet(self, item: str, netuids: Sequence[int], at: Block) -> list[object]:
        """The values of a map from netuid for these netuids, in their order, in one request."""
        ...

    async def hotkeys(self, seats: Sequence[tuple[int, int]], at: Block) -> list[str]:
        """The hotkeys of (netuid, uid) pairs, in their order, in one request."""
        ...

    async def registrations(self, seats: Sequence[tuple[int, int]], at: Block) -> list[int]:
        """The registration blocks of (netuid, uid) pairs, in their order, in one request."""
        ...

    async def coldkeys(self, hotkeys: Sequence[str], at: Block) -> list[str]:
        """The owners of hotkeys, in their order, in one request."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...
