"""`python -m lab.validator --port 8090`: the simulated validator as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from typing import Annotated

import cyclopts

from app.protocol.signing import Signer
from lab.validator.app import SimulatedValidator
from lab.validator.scenarios import SCENARIOS

app = cyclopts.App(name="python -m lab.validator", help="A SIMULATED validator: it pays nothing and proves nothing.")


@app.default
def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8090,
    hotkey: str | None = None,
    play: Annotated[tuple[str, ...], cyclopts.Parameter(help="scenarios to play at the start")] = ("steady_demand",),
) -> None:
    """Serve until interrupted. Without a hotkey a throw-away one is made."""
    name = hotkey or Signer.from_seed(secrets.token_hex(32)).ss58
    asyncio.run(_serve(SimulatedValidator(name), host, port, play))


async def _serve(validator: SimulatedValidator, host: str, port: int, play: tuple[str, ...]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with validator.listening(host, port):
        print(f"SIMULATED validator {validator.state.hotkey} at {validator.url}", flush=True)
        for name in play:
            await SCENARIOS[name](validator)
        await stop.wait()


if __name__ == "__main__":
    app()
