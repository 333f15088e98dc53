"""The reader over bittensor 10.3 to 10.5: storage through its async client library, never its metagraphs (0.5 s each).

Imported only where that generation is installed; the lock file holds the other one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tracker.chain.reader import Block
from tracker.errors import (
    ChainUnreachableError,
    IncompleteSnapshotError,
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
    """Connects with `open`; reads through the SDK's `async_substrate_interface`.

    That library knows nothing of archives: a block whose state the endpoint no longer has is asked of them in turn.
    """

    def __init__(self, substrate: Any, network: str, endpoint: str, archives: Sequence[str]) -> None:
        self._substrate = substrate
        self._archives = list(archives)
        self._archive: Any = None
        self._opening = asyncio.Lock()
        self._encode = import_module("scalecodec.utils.ss58").ss58_encode
        self.network = network
        self.endpoint_host = urlsplit(endpoint).hostname or endpoint
        self.sdk = f"bittensor {version('bittensor')}"

    @classmethod
    async def open(cls, network: str, *, fallbacks: Sequence[str] = (), archives: Sequence[str] = ()) -> LegacyReader:
        """Connect to a network name or websocket URL; the fallbacks are tried in turn when it does not answer."""
        settings = import_module("bittensor.core.settings")
        named: dict[str, str] = dict(settings.NETWORK_MAP)
        endpoint = network if "://" in network else named.get(network)
        if not endpoint:
            raise ChainUnreachableError(
                f"unknown network {network!r}; known are {', '.join(sorted(named))}, or give a URL"
            )
        names = {url: name for name, url in named.items()}
        name = network if "://" not in network else names.get(endpoint, endpoint)
        substrate, used = await _first_that_answers([endpoint, *fallbacks])
        return cls(substrate, name, used, archives)

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
        return _plain(await self._read(lambda chain: chain.query(pallet, name, [], block_hash=at.hash)))

    async def mapping(self, item: str, at: Block) -> dict[int, object]:
        pallet, name = item.split(".")

        async def whole(chain: Any) -> dict[int, object]:
            result = await chain.query_map(pallet, name, [], block_hash=at.hash, page_size=_PAGE_SIZE)
            return {int(_single(key)): _plain(value) async for key, value in result}

        return await self._read(whole)

    async def per_subnet(self, item: str, netuids: Sequence[int], at: Block) -> list[object]:
        return await self._many(item, [[netuid] for netuid in netuids], at)

    async def hotkeys(self, seats: Sequence[tuple[int, int]], at: Block) -> list[str]:
        return [self._encode(raw or bytes(32), 42) for raw in await self._seats("Keys", seats, at)]

    async def registrations(self, seats: Sequence[tuple[int, int]], at: Block) -> list[int]:
        return [int.from_bytes(raw, "little") for raw in await self._seats("BlockAtRegistration", seats, at)]

    async def coldkeys(self, hotkeys: Sequence[str], at: Block) -> list[str]:
        return [str(one) for one in await self._many(f"{_PALLET}.Owner", [[hotkey] for hotkey in hotkeys], at)]

    async def _many(self, item: str, parameters: Sequence[list[Any]], at: Block) -> list[object]:
        pallet, name = item.split(".")

        async def every(chain: Any) -> list[object]:
            make = chain.create_storage_key
            keys = [await make(pallet, name, one, block_hash=at.hash) for one in parameters]
            return [_plain(value) for _, value in await chain.query_multi(keys, block_hash=at.hash)]

        return await self._read(every)

    async def _seats(self, name: str, seats: Sequence[tuple[int, int]], at: Block) -> list[bytes]:
        """Raw values of a double map with identity hashers; computing keys avoids 4 ms a row of the SDK's own."""
        if not seats:
            return []

        async def raw(chain: Any) -> list[bytes]:
            first = await chain.create_storage_key(_PALLET, name, [0, 0], block_hash=at.hash)
            prefix = str(first.to_hex())[:-8]  # without the two numbers of two bytes each
            keys = [prefix + _two_bytes(netuid) + _two_bytes(uid) for netuid, uid in seats]
            answer = await chain.rpc_request("state_queryStorageAt", [keys, at.hash])
            if "error" in answer:
                raise _chain_error(str(answer["error"]))
            values = dict(answer["result"][0]["changes"])
            return [bytes.fromhex((values.get(key) or "0x")[2:]) for key in keys]

        return await self._read(raw)

    async def _read(self, read: Callable[[Any], Awaitable[_T]]) -> _T:
        """A read of one block's state, of the archive where the endpoint no longer has it."""
        try:
            return await _translated(read(self._substrate))
        except StatePrunedError:
            if not self._archives:
                raise
        return await _translated(read(await self._opened_archive()))

    async def _opened_archive(self) -> Any:
        async with self._opening:
            if self._archive is None:
                self._archive, _ = await _first_that_answers(self._archives)
        return self._archive

    async def close(self) -> None:
        await self._substrate.close()
        if self._archive is not None:
            await self._archive.close()


async def _first_that_answers(endpoints: Sequence[str]) -> tuple[Any, str]:
    """A connection to the first endpoint that answers, and which it is."""
    library = import_module("async_substrate_interface.async_substrate")
    for place, endpoint in enumerate(endpoints, start=1):
        substrate = library.AsyncSubstrateInterface(endpoint, ss58_format=42, ws_shutdown_timer=None)
        try:
            await _translated(substrate.initialize())
        except ChainUnreachableError:
            if place == len(endpoints):
                raise
        else:
            return substrate, endpoint
    raise ChainUnreachableError("no endpoint is named")


def _two_bytes(number: int) -> str:
    return number.to_bytes(2, "little").hex()


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
    except (AttributeError, IndexError, KeyError, TypeError) as error:  # the SDK checks no answer before it decodes it
        raise IncompleteSnapshotError(f"the SDK cannot read an answer of the endpoint: {error!r}") from error
    except ValueError as error:  # what the SDK raises for an item that the metadata does not have
        raise MissingItemError(str(error)) from error


def _chain_error(text: str) -> TrackerError:
    lower = text.lower()
    if "too big" in lower:
        return ResponseTooBigError(text)
    if "discarded" in lower or "unknownblock" in lower or "unknown block" in lower:
        return StatePrunedError(f"{text}; give an archive endpoint: --archive URL")
    return TransientChainError(text)
