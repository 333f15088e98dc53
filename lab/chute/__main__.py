"""`chutes run REF --port 8000 --miner-ss58 ... --validator-ss58 ...`, as a pod starts it, here as a stand-in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

import cyclopts
import httpx

from app.protocol.ports import ChutePort
from lab.chute.launch import PodEnvironment, launch
from lab.chute.proof import Parties
from lab.chute.server import ChuteServer

app = cyclopts.App(name="chutes", help="A stand-in chute (SIMULATED): runs no model, touches no GPU.")


@app.command
def run(
    ref: str,
    *,
    port: int = int(ChutePort.PRIMARY),
    logging_port: int = int(ChutePort.LOGGING),
    miner_ss58: str = "",
    validator_ss58: str = "",
    graval_seed: int | None = None,
    host: str = "0.0.0.0",
) -> None:
    """Serve and go through the launch. Ends with 1 if the validator refuses it; a launch token works once.

    Parameters
    ----------
    graval_seed
        Accepted for old command lines and unused.
    host
        Address to listen on; the embedded fleet, which has no pods, gives each node's own.
    """
    print(f"SIMULATED chute {ref} of {miner_ss58 or 'nobody'} for {validator_ss58 or 'nobody'}", flush=True)
    _ = graval_seed
    sys.exit(asyncio.run(_run(ref, host, (port, logging_port), Parties(miner_ss58, validator_ss58))))


async def _run(ref: str, host: str, ports: tuple[int, ...], parties: Parties) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = ChuteServer(ref)
    async with server.listening(host, ports), httpx.AsyncClient() as http:
        try:
            launched = await launch(PodEnvironment.read(os.environ), http, parties)
        except (httpx.HTTPError, ValueError) as error:
            print(f"launch failed: {error}", file=sys.stderr, flush=True)
            return 1
        server.is_active = True
        print(f"SIMULATED instance {launched.instance_id} is active", flush=True)
        await stop.wait()
    return 0


if __name__ == "__main__":
    app()
