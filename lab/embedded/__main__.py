"""`python -m lab.embedded`: the fleet as plain processes, no root. Nodes, pods, GPUs and validator are SIMULATED."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from pathlib import Path
from typing import Annotated, Final

import cyclopts
import orjson
from rich.console import Console
from rich.table import Table

from app.protocol.signing import Signer
from lab.dev.__main__ import key_file
from lab.embedded.day import Market, NotInTimeError, Timeline, first_inference
from lab.embedded.fleet import EmbeddedFleet, embedded_fleet
from lab.embedded.model import SimulatedNode
from lab.state import clone_id, state_folder
from lab.validator.scenarios import confidential_demand

_INFERENCE_SECONDS: Final = 180.0


def nodes(clone: str) -> tuple[SimulatedNode, ...]:
    """Two nodes, each with an address of its own on the loopback network, different for each clone."""
    block = 64 + int(clone[:2], 16) % 64
    return (
        SimulatedNode("tee-0", f"127.{block}.0.11", "h200", 8, 24.0),
        SimulatedNode("tee-1", f"127.{block}.0.12", "h100_sxm", 8, 16.8),
    )


cli = cyclopts.App(name="python -m lab.embedded", help="The embedded fleet, no root needed.")


@cli.default
def up(*, stay: Annotated[bool, cyclopts.Parameter(negative="--once")] = True) -> int:
    """Bring it up, wait for the first paid request, then stay until interrupted.

    Parameters
    ----------
    stay
        With --once, end as soon as the first request was answered; 1 if none was.
    """
    # Keys stay, data is made anew.
    folder = state_folder() / "embedded"
    for part in ("nodes", "pods", "programs"):
        shutil.rmtree(folder / part, ignore_errors=True)
    folder.mkdir(exist_ok=True, mode=0o700)
    try:
        return asyncio.run(_up(folder, stay=stay))
    except (NotInTimeError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1


async def _up(folder: Path, *, stay: bool) -> int:
    work = asyncio.current_task()
    assert work is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        await _serve(folder, stay=stay)
    except asyncio.CancelledError:
        print("asked to end: everything is gone")
    return 0


async def _serve(folder: Path, *, stay: bool) -> None:
    miner = orjson.loads(key_file(folder, "hotkey").read_bytes())
    validator = orjson.loads(key_file(folder, "validator").read_bytes())["ss58Address"]
    signer = Signer.from_seed(miner["secretSeed"])
    keys = {"ss58": signer.ss58, "seed": miner["secretSeed"], "validator": validator}
    timeline = Timeline()
    timeline.note("start")
    async with embedded_fleet(folder, keys, nodes(clone_id()), timeline.note) as fleet:
        await confidential_demand(fleet.validator)
        timeline.note("SIMULATED demand announced")
        market = Market(fleet.validator.url)
        try:
            await first_inference(market, timeline, _INFERENCE_SECONDS)
        finally:
            await market.close()
        _show(fleet)
        while stay:
            fleet.programs.raise_if_ended()
            await asyncio.sleep(1)


def _show(fleet: EmbeddedFleet) -> None:
    table = Table("what", "where", title="Embedded fleet (nodes, pods, GPUs and validator are SIMULATED)")
    table.add_row("miner API", f"{fleet.programs.api_url}/docs")
    table.add_row("monitor", fleet.programs.monitor_url)
    table.add_row("Gepetto", f"{fleet.programs.gepetto_url}/explain")
    table.add_row("SIMULATED validator", f"{fleet.validator.url}/lab/state")
    for name, cluster in fleet.clusters.items():
        table.add_row(f"SIMULATED node {name}", f"kubectl --kubeconfig {cluster.server.kubeconfig} get pods -A")
    table.add_row("logs", str(fleet.folder / "programs"))
    Console().print(table)
    print("Ctrl+C ends everything.", flush=True)


if __name__ == "__main__":
    sys.exit(cli())
