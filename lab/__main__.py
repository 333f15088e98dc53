"""`python -m lab up|down|preview|status|env|prune`: the lab, as the Makefile calls it."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from typing import Annotated, Final

from cyclopts import App, Parameter
from rich.console import Console

from infra.images.__main__ import prune as prune_images
from infra.images.prune import DAY_SECONDS, DAYS
from infra.images.tools import cache_folder
from lab.builds.prune import prune as prune_builds
from lab.embedded.__main__ import up as embedded_up
from lab.embedded.day import NotInTimeError, Timeline, serve_first
from lab.engine.toolchain import Toolchain, prepare
from lab.fleet import machines
from lab.fleet.engine import EngineError, LabEngine, forget_stack
from lab.fleet.leftovers import end_engine_processes
from lab.fleet.market import Market, MarketError, chute_image, with_market
from lab.fleet.phases import Phases
from lab.fleet.stack import STACK
from lab.fleet.summary import show
from lab.hosts.fleet import LabFleet
from lab.hosts.left import left_of
from lab.hosts.models import gateway_of
from lab.hosts.requirements import CannotBootHostsError, missing
from lab.kubernetes.artifacts import kubernetes_source
from lab.state import state_folder

app = App(name="python -m lab", help="The lab: a whole fleet on this machine.")
#: What a shell needs to speak to the lab; everything else of the environment is its own.
_EXPORTED: Final = ("PATH", "HEADFRAME_CACHE")
#: From a registered node to an answered request; about a minute where nothing else runs.
_EARNING_SECONDS: Final = 300.0
_BEGIN: Final = "pulumi up begins"
#: Arguments for `pulumi`, options included.
Words = Annotated[str, Parameter(allow_leading_hyphen=True)]


@app.command
def up() -> int:
    """Boot the machines and bring the stack up on them; 0 where all of it is there."""
    if lacks := missing():
        print("this machine cannot boot lab hosts:", *(f"  - {line}" for line in lacks), sep="\n")
        print("the embedded fleet comes up instead: our programs, with SIMULATED nodes and pods; Ctrl+C ends it")
        return embedded_up()
    phases, state = Phases(), state_folder()
    with phases.phase("engine"):
        toolchain = prepare()
        _say(toolchain)
    with phases.phase("kubernetes"):
        fleet = machines.fleet(state)
    with phases.phase("hosts"):
        fleet.boot()
    market = Market(state, str(gateway_of(fleet.network)))
    with phases.phase("market"):
        market.start(chute_image())
        print(f"  SIMULATED validator {market.validator_hotkey} at {market.validator_url}")
        print(f"  SIMULATED chain at {market.chain_url}")
    engine = LabEngine(toolchain, state)
    with phases.phase("stack"):
        engine.select(with_market(machines.generated(fleet), market), fleet.private_key)
    (state / "logs").mkdir(exist_ok=True, mode=0o700)
    timeline = Timeline(say=lambda line: print(f"  {line}"))
    with phases.phase("pulumi up"):
        timeline.note(_BEGIN)
        status = engine.run("up", "--yes", "--skip-preview", log=state / "logs" / "up.log")
    if not status:
        with phases.phase("first request"):
            status = _first_request(market, timeline)
    console = Console()
    show(console, fleet, engine)
    console.print(phases.table())
    if status:
        print("not all of it is up: see above; `make up` again continues where it stopped", file=sys.stderr)
    else:
        timeline.report("from the beginning of pulumi up to the first active chute", _BEGIN, "is active")
    return status


def _first_request(market: Market, timeline: Timeline) -> int:
    """Wait until a chute earns: the SIMULATED validator's request, answered by a container on a lab node."""
    try:
        asyncio.run(serve_first(market.validator_url, timeline, _EARNING_SECONDS))
    except NotInTimeError as error:
        print(f"  {error}", file=sys.stderr)
        print(f"  why: curl {market.validator_url}/lab/log, and: chutes-miner why CHUTE", file=sys.stderr)
        return 1
    return 0


@app.command
def down() -> int:
    """Take everything away: machines with their disks, networks, the stack. Builds stay in the cache."""
    state = state_folder()
    ended = end_engine_processes(state / "engine" / "home")
    if ended:
        print(f"  ended {ended} processes of an interrupted run")
    fleet = LabFleet.load(STACK, state, progress=lambda line: print(f"  {line}"))
    if Market(state, str(gateway_of(fleet.network))).stop():
        print("  the simulated validator and chain are ended")
    fleet.wipe()
    forget_stack(state)
    left = left_of(fleet.names)
    for line in left:
        print(f"  still there: {line}", file=sys.stderr)
    if not left:
        print("  looked: no process, mount, cgroup, interface or firewall rule of it is left")
    return 1 if left else 0


@app.command
def preview(*arguments: Words) -> int:
    """Show what `pulumi up` would do."""
    return pulumi("preview", *arguments)


@app.command
def pulumi(*arguments: Words) -> int:
    """Run any `pulumi` command on the lab's stack."""
    engine = LabEngine(prepare(), state_folder())
    if not engine.exists():
        print("the lab is not up: make up", file=sys.stderr)
        return 1
    return engine.run(*arguments)


@app.command
def status() -> int:
    """Show machines, clusters and endpoints."""
    state = state_folder()
    show(Console(), LabFleet.load(STACK, state), LabEngine(prepare(), state))
    return 0


@app.command
def env() -> int:
    """Print what a shell needs: eval "$(make -s env)"."""
    for name, value in sorted(LabEngine(prepare(), state_folder()).environment.items()):
        if name.startswith("PULUMI_") or name in _EXPORTED:
            print(f"export {name}={shlex.quote(value)}")
    return 0


@app.command
def toolchain() -> int:
    """Build or download the programs of the lab; nothing where they are there."""
    _say(prepare())
    kubernetes_source()
    return 0


@app.command
def prune(*, days: float = DAYS) -> int:
    """Take out of the cache what nobody asked for in so many days: images and steps of them, built programs."""
    taken = prune_builds(cache_folder() / "builds", used_before=time.time() - days * DAY_SECONDS)
    print(f"builds: {', '.join(taken) or 'none'} taken out")
    return prune_images(days=days)


def _say(found: Toolchain) -> None:
    for name, origin in found.origins.items():
        print(f"  {name}: {origin}")


if __name__ == "__main__":
    try:
        sys.exit(app())
    except (CannotBootHostsError, EngineError, MarketError) as error:
        sys.exit(str(error))
