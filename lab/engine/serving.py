"""What every plugin stand-in shares: serve gRPC, say the port, end when the engine says so or is gone.

The engine starts a plugin in a process group of its own with its address as the last argument, reads the port from the
first line of stdout and says goodbye with SIGINT to the group; five seconds later it kills (spec: lab 2). An engine
that was killed says nothing: then the parent changes, or its address refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import grpc

#: The engine sends whole states and schemas in one message.
CHANNEL_OPTIONS: Final = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
_POLL_SECONDS: Final = 0.5
_POLLS_PER_CONNECT: Final = 10
_CONNECT_TIMEOUT_SECONDS: Final = 2.0
_GRACE_SECONDS: Final = 1.0


def engine_address(arguments: Sequence[str]) -> str:
    """The engine's address among a plugin's arguments: the last that is not an option; empty where there is none."""
    plain = [argument for argument in arguments if not argument.startswith("-")]
    return plain[-1] if plain else ""


async def serve(
    register: Callable[[grpc.aio.Server], None], engine: str, close: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Serve until the engine ends this plugin or is gone; then run `close` and stop."""
    parent = os.getppid()
    server = grpc.aio.server(options=CHANNEL_OPTIONS)
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    print(port, flush=True)
    watch = asyncio.create_task(engine_gone(engine, parent))
    watch.add_done_callback(lambda _: ended.set())
    await ended.wait()
    watch.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watch
    if close is not None:
        await close()
    await server.stop(grace=_GRACE_SECONDS)


async def engine_gone(engine: str, parent: int) -> None:
    """Return when the process that started this one is gone, or the engine's address refuses connections."""
    count = 0
    while os.getppid() == parent:
        count += 1
        if engine and count % _POLLS_PER_CONNECT == 0 and not await _answers(engine):
            return
        await asyncio.sleep(_POLL_SECONDS)


async def _answers(engine: str) -> bool:
    """False only where the address refuses; a slow engine is alive."""
    host, _, port = engine.removeprefix("tcp://").rpartition(":")
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection(host, int(port))
    except ConnectionRefusedError:
        return False
    except (OSError, TimeoutError, ValueError):
        return True
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def run(main: Callable[[str], Awaitable[None]]) -> None:
    """Run a plugin's coroutine with the engine's address from the command line."""

    async def body() -> None:
        await main(engine_address(sys.argv[1:]))

    asyncio.run(body())
