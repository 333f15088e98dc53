"""The reader over bittensor 11.x: its public RPC back end, without the client above it, which would ask for more."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from importlib.metadata import version
from typing import TypeVar
from urllib.parse import urlsplit

import bittensor

from tracker.chain.reader import Block
from tracker.errors import (
    ChainUnreachableError,
    MissingItemError,
    RefusedByPolicyError,
    ResponseTooBigError,
    StatePrunedError,
    TrackerError,
    TransientChainError,
)

_T = TypeVar("_T")
_PALLET = "SubtensorModule"


class ModernReader:
    """Connects with `open`; reads through `bittensor.RpcSubstrate`."""

    def __init__(self, substrate: bittensor.RpcSubstrate, network: str, endpoint: str) -> None:
        self._substrate = substrate
        self.network = network
        self.endpoint_host = urlsplit(endpoint).hostname or endpoint
        self.sdk = f"bittensor {version('bittensor')}"

    @classmethod
    async def open(cls, network: str, *, fallbacks: list[str] | None, archives: list[str] | None) -> ModernReader:
        """Connect to a network name or websocket URL; None takes the SDK's own fallback and archive endpoints."""
        name, endpoint = bittensor.settings.resolve_endpoint(network)
        if fallbacks is None:
            fallbacks = bittensor.settings.default_fallback_endpoints(name)
        if archives is None:
            archives = bittensor.settings.default_archive_endpoints(name)
        substrate = bittensor.RpcSubstrate(
            endpoint, fallback_endpoints=[url for url in fallbacks if url != endpoint], archive_endpoints=archives
        )
        await _translated(substrate.connect())
        return cls(substrate, name, endpoint)

    async def finalized(self) -> Block:
        return await self.block(await _translated(self._substrate.finalized_block_number()))

    async def block(self, number: int) -> Block:
        return Block(number, str(await _translated(self._substrate.block_hash(number))))

    async def spec_version(self) -> int:
        return int(await _translated(self._substrate.spec_version()))

    async def slot_milliseconds(self) -> int:
        return int(await _translated(self._substrate.constant("Aura", "SlotDuration")))

    async def value(self, item: str, at: Block) -> object:
        pallet, name = item.split(".")
        return await _translated(self._substrate.query(pallet, name, [], at.hash))

    async def mapping(self, item: str, at: Block) -> dict[int, object]:
        pallet, name = item.split(".")
        rows = await _translated(self._substrate.query_map(pallet, name, [], at.hash))
        return {int(key): value for key, value in rows}

    async def per_subnet(self, item: str, netuids: Sequence[int], at: Block) -> list[object]:
        pallet, name = item.split(".")
        return await self._batch(pallet, name, [[netuid] for netuid in netuids], at)

    async def hotkeys(self, seats: Sequence[tuple[int, int]], at: Block) -> list[str]:
        found = await self._batch(_PALLET, "Keys", [list(seat) for seat in seats], at)
        return [str(hotkey) for hotkey in found]

    async def registrations(self, seats: Sequence[tuple[int, int]], at: Block) -> list[int]:
        found = await self._batch(_PALLET, "BlockAtRegistration", [list(seat) for seat in seats], at)
        return [int(str(block)) for block in found]

    async def coldkeys(self, hotkeys: Sequence[str], at: Block) -> list[str]:
        found = await _translated(
            self._substrate.query_batch(_PALLET, "Owner", [[hotkey] for hotkey in hotkeys], at.hash)
        )
        return [str(coldkey) for coldkey in found]

    async def _batch(self, pallet: str, name: str, keys: list[list[int]], at: Block) -> list[object]:
        return list(await _translated(self._substrate.query_batch(pallet, name, keys, at.hash)))

    async def close(self) -> None:
        await self._substrate.close()


async def _translated(call: Awaitable[_T]) -> _T:
    """Await a call of the SDK; its errors come out as ours, each with what helps."""
    try:
        return await call
    except bittensor.RpcPolicyError as error:
        wait = getattr(error, "retry_after", None)
        raise RefusedByPolicyError(f"the endpoint refuses traffic: {error}", _seconds(wait)) from error
    except bittensor.RpcConnectionError as error:
        raise ChainUnreachableError(f"no endpoint answered: {error}; try another one with --network URL") from error
    except bittensor.ChainError as error:
        raise _chain_error(str(error)) from error
    except ValueError as error:  # what the SDK raises for an item that the metadata does not have
        raise MissingItemError(str(error)) from error


def _chain_error(text: str) -> TrackerError:
    """Tell the chain errors apart that the SDK gives one class (measured with 11.3.0)."""
    lower = text.lower()
    if "too big" in lower:
        return ResponseTooBigError(text)
    if "discarded" in lower or "unknownblock" in lower:
        return StatePrunedError(f"{text}; give an archive endpoint: --archive URL")
    return TransientChainError(text)


def _seconds(text: object) -> float | None:
    try:
        return float(str(text))
    except ValueError:
        return None
