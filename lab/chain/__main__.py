"""Run the simulated chain endpoint: `python -m lab.chain --port 9944 --scenario small`."""

from __future__ import annotations

import asyncio
from typing import Literal

import cyclopts

from lab.chain.chain import Chain
from lab.chain.node import Faults, Node
from lab.chain.runtime import Runtime
from lab.chain.scenarios import full, small

app = cyclopts.App(help=__doc__)


@app.default
async def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 9944,
    scenario: Literal["small", "full"] = "small",
    seed: int = 1,
    pruned: bool = False,
    tick_every: int = 0,
    delay_ms: int = 0,
    advance_seconds: float = 0,
) -> None:
    """Serve a simulated chain until stopped.

    Args:
        host: address to listen on.
        port: 0 takes a free one.
        scenario: `small` has one of everything that can go wrong, `full` has the main network's size.
        seed: of the synthetic state.
        pruned: refuse state older than 256 blocks.
        tick_every: a new head after so many requests.
        delay_ms: latency of every answer.
        advance_seconds: a new head every so many seconds; 0 keeps it still.
    """
    chain = (small if scenario == "small" else full)(Chain([(0, Runtime())], seed=seed))
    node = Node(chain, Faults(tick_every=tick_every, delay_ms=delay_ms), pruned=pruned)
    server = await node.start(port, host)
    print(f"SIMULATED chain listening on ws://{host}:{next(iter(server.sockets)).getsockname()[1]}", flush=True)
    while advance_seconds:
        await asyncio.sleep(advance_seconds)
        chain.head += 1
    await server.serve_forever()


if __name__ == "__main__":
    app()
