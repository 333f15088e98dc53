"""The reader over bittensor 10.3 to 10.5: storage through its async client library, never its metagraphs (0.5 s each).

Imported only where that generation is installed; the lock file holds the other one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any, TypeVar
from urllib.parse import urlsplit

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
_PAGE_SIZE = 1000


class LegacyReader:
    """Connects with `open`; reads through the SDK's `async_substrate_interface`."""

    def __init__(self, substrate: Any, network: str, endpoint: str) -> None:
        self._substrate = substrate
        self._encode = import_module("scalecodec.utils.ss58").ss58_encode
        self.network = network
        self.endpoint_host = urlsplit(endpoint).hostname or endpoint
        self.sdk = f"bittensor {version('bittensor')}"

    @classmethod
    async def open(cls, network: str) -> LegacyReader:
        """Connect to a network name or websocket URL."""
        settings = import_module("bittensor.core.settings")
        library = import_module("async_substrate_interface.async_substrate")
        named: dict[str, str] = dict(settings.NETWORK_MAP)
        endpoint = network if "://" in network else named.get(network)
        if not endpoint:
            raise ChainUnreachableError(
                f"unknown network {network!r}; known are {', '.join(sorted(named))}, or give a URL"
            )
        substrate = library.AsyncSubstrateInterface(endpoint, ss58_format=42, ws_shutdown_timer=None)
        await _translated(substrate.initialize())
        names = {url: name for name, url in named.items()}
        return cls(substrate, names.get(endpoint, endpoint if "://" in network else network), endpoint)

    async def finalized(self) -> Block:
        head = str(await _translated(self._substrate.get_chain_finalised_head()))
        return Block(int(await _translated(self._substrate.get_block_number(head))), head)

    async def block(self, number: int) -> Block:
        return Block(number, str(await _translated(self._substrate.get_block_hash(number))))

    async def spec_version(self) -> int:
        answer = await _translated(self._substrate.rpc_request("state_getRuntimeVersion", []))
        return int(answer["result"]["specVersion"])

    async def slot_milliseconds(self) -> int:
        return int(_plain(await _translated(self._substrate.get_constant("Aura", "SlotDuration"))))

    async def value(self, item: str, at: Block) -> object:
        pallet, name = item.split(".")
        return _plain(await _translated(self._substrate.query(pallet, name, [], block_hash=at.hash)))

    async def mapping(self, item: str, at: Block) -> dict[int, object]:
        pallet, name = item.split(".")
        return await _translated(self._whole_map(pallet, name, at))

    async def _whole_map(self, pallet: str, name: str, at: Block) -> dict[int, object]:
        result = await self._substrate.query_map(pallet, name, [], block_hash=at.hash, page_size=_PAGE_SIZE)
        return {int(_single(key)): _plain(value) async for key, value in result}

    async def per_subnet(self, item: str, netuids: Sequence[int], at: Block) -> list[object]:
        pallet, name = item.split(".")
        keys = [
            await self._substrate.create_storage_key(pallet, name, [netuid], block_hash=at.hash) for netuid in netuids
        ]
        found = await _translated(self._substrate.query_multi(keys, block_hash=at.hash))
        return [_plain(value) for _, value in found]

    async def hotkeys(self, seats: Sequence[tuple[int, int]], at: Block) -> list[str]:
        return [self._encode(raw or bytes(32), 42) for raw in await self._seats("Keys", seats, at)]

    async def registrations(self, seats: Sequence[tuple[int, int]], at: Block) -> list[int]:
        return [int.from_bytes(raw, "little") for raw in await self._seats("BlockAtRegistration", seats, at)]

    async def coldkeys(self, hotkeys: Sequence[str], at: Block) -> list[str]:
        make = self._substrate.create_storage_key
        keys = [await make(_PALLET, "Owner", [hotkey], block_hash=at.hash) for hotkey in hotkeys]
        found = await _translated(self._substrate.query_multi(keys, block_hash=at.hash))
        return [str(_plain(value)) for _, value in found]

    async def _seats(self, name: str, seats: Sequence[tuple[int, int]], at: Block) -> list[bytes]:
        """Raw values of a double map with identity hashers; computing keys avoids 4 ms a row of the SDK's own."""
        prefix = await self._prefix(name, at)
        keys = [prefix + netuid.to_bytes(2, "little").hex() + uid.to_bytes(2, "little").hex() for netuid, uid in seats]
        answer = await _translated(self._substrate.rpc_request("state_queryStorageAt", [keys, at.hash]))
        if "error" in answer:
            raise _chain_error(str(answer["error"]))
        values = dict(answer["result"][0]["changes"])
        return [bytes.fromhex((values.get(key) or "0x")[2:]) for key in keys]

    async def _prefix(self, name: str, at: Block) -> str:
        key = await self._substrate.create_storage_key(_PALLET, name, [0, 0], block_hash=at.hash)
        return str(key.to_hex())[:-8]  # without the two numbers of two bytes each

    async def close(self) -> None:
        await self._substrate.close()


def _plain(value: Any) -> Any:
    """The value inside the SDK's wrapper, if it is wrapped."""
    return getattr(value, "value", value)


def _single(key: Any) -> Any:
    plain = _plain(key)
    return plain[0] if isinstance(plain, tuple | list) else plain


async def _translated(call: Awaitable[_T]) -> _T:
    """Await a call of the SDK; its errors come out as ours."""
    errors = import_module("async_substrate_interface.errors")
    closed = import_module("websockets.exceptions")
    try:
        return await call
    except closed.InvalidStatus as error:
        status = error.response.status_code
        if status in (403, 429):
            wait = error.response.headers.get("Retry-After")
            seconds = float(wait) if wait and wait.isdigit() else None
            raise RefusedByPolicyError(f"the endpoint refuses traffic: HTTP {status}", seconds) from error
        raise ChainUnreachableError(f"the endpoint answered HTTP {status}") from error
    except (OSError, TimeoutError, closed.ConnectionClosed, errors.MaxRetriesExceeded) as error:
        raise ChainUnreachableError(
            f"the endpoint does not answer: {error}; try another one with --network URL"
        ) from error
    except errors.SubstrateRequestException as error:
        raise _chain_error(str(error)) from error
    except ValueError as error:  # what the SDK raises for an item that the metadata does not have
        raise MissingItemError(str(error)) from error


def _chain_error(text: str) -> TrackerError:
    lower = text.lower()
    if "too big" in lower:
        return ResponseTooBigError(text)
    if "discarded" in lower or "unknownblock" in lower or "unknown block" in lower:
        return StatePrunedError(f"{text}; give an archive endpoint: --network archive")
    return TransientChainError(text)
