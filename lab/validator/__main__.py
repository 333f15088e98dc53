"""`python -m lab.validator --port 8090`: the simulated validator as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from pathlib import Path
from typing import Annotated

import cyclopts
import orjson

from app.protocol.signing import Signer
from lab.validator.app import SimulatedValidator
from lab.validator.library import read_archive
from lab.validator.proving import GravalProver
from lab.validator.scenarios import SCENARIOS

app = cyclopts.App(name="python -m lab.validator", help="A SIMULATED validator: it pays nothing and proves nothing.")


@app.default
def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8090,
    hotkey: str | None = None,
    key_file: Path | None = None,
    stand_in_image: Path | None = None,
    play: Annotated[tuple[str, ...], cyclopts.Parameter(help="scenarios to play at the start")] = ("steady_demand",),
) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    hotkey
        The validator's address; it then believes what bare nodes say of their GPUs. Without it or a key file it
        takes a throw-away one.
    key_file
        A hotkey file of btcli: with it the validator has bare nodes and their launches prove themselves (GraVal).
    stand_in_image
        A docker archive with the stand-in chute, which the registry serves for every chute's image.
    """
    if key_file is not None:
        signer = Signer.from_seed(orjson.loads(key_file.read_bytes())["secretSeed"])
        validator = SimulatedValidator(signer.ss58, graval=GravalProver(signer))
    else:
        validator = SimulatedValidator(hotkey or Signer.from_seed(secrets.token_hex(32)).ss58)
    if stand_in_image is not None:
        validator.library.stand_in = read_archive(stand_in_image)
    asyncio.run(_serve(validator, host, port, play))


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
