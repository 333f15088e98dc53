"""Opens a reader with whichever generation of the SDK is installed, and closes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from tracker.chain.reader import ChainReader
from tracker.errors import ChainUnreachableError, RefusedByPolicyError, TrackerError

CONNECT_TIMEOUT_SECONDS: Final = 60.0
CLOSE_TIMEOUT_SECONDS: Final = 10.0
#: An endpoint that asks for a longer wait has refused this run.
LONGEST_WAIT_SECONDS: Final = 120.0
#: 10.0 to 10.2 cannot read today's runtime; 11 is a rewrite (spec: tracker 2.1).
OLDEST_LEGACY: Final = (10, 3)
FIRST_MODERN: Final = 11


@dataclass(frozen=True)
class Endpoint:
    """Where to read.

    Args:
        network: a name such as `finney`, or a websocket URL.
        fallbacks: further endpoints for when it is unreachable; None takes the SDK's, an empty list pins one endpoint.
        archives: endpoints with all history; likewise.
    """

    network: str = "finney"
    fallbacks: Sequence[str] | None = None
    archives: Sequence[str] | None = None


@asynccontextmanager
async def connect(endpoint: Endpoint) -> AsyncIterator[ChainReader]:
    """A connection for the length of a block.

    Raises:
        TrackerError: nobody answered in time, or the installed SDK is too old.
    """
    try:
        reader = await _open_in_time(endpoint)
    except RefusedByPolicyError as refusal:
        wait = refusal.retry_after_seconds
        if wait is None or wait > LONGEST_WAIT_SECONDS:
            raise
        await asyncio.sleep(wait)  # as long as the endpoint asked for, and once only
        reader = await _open_in_time(endpoint)
    try:
        yield reader
    finally:
        with suppress(TimeoutError):  # the process must not hang on saying goodbye
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await reader.close()


async def _open_in_time(endpoint: Endpoint) -> ChainReader:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            return await _open(endpoint)
    except TimeoutError as error:
        message = f"{endpoint.network} did not answer within {CONNECT_TIMEOUT_SECONDS:.0f} s"
        raise ChainUnreachableError(message) from error


async def _open(endpoint: Endpoint) -> ChainReader:
    installed = tuple(int(part) for part in version("bittensor").split(".")[:2])
    if installed[0] >= FIRST_MODERN:
        from tracker.chain.modern import ModernReader  # noqa: PLC0415 - only one generation is installed

        fallbacks = None if endpoint.fallbacks is None else list(endpoint.fallbacks)
        archives = None if endpoint.archives is None else list(endpoint.archives)
        if "://" in endpoint.network:
            fallbacks, archives = fallbacks or [], archives or []
        return await ModernReader.open(endpoint.network, fallbacks=fallbacks, archives=archives)
    if installed < OLDEST_LEGACY:
        raise TrackerError(f"bittensor {version('bittensor')} cannot read today's chain; install 10.3 to 10.5 or 11")
    from tracker.chain.legacy import LegacyReader  # noqa: PLC0415

    return await LegacyReader.open(
        endpoint.network, fallbacks=endpoint.fallbacks or (), archives=endpoint.archives or ()
    )
