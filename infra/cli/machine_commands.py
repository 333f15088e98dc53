"""`headframe drain | open | restart | reboot | reset | upgrade`: acts on machines, one machine at a time."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

from cyclopts import App, Parameter

from infra.cli.acts import in_turn
from infra.cli.engine import Engine, EngineError
from infra.cli.machines import UnknownMachineError, chosen, machines_of
from infra.spec import Verb

Stack = Annotated[str | None, Parameter(name=["--stack", "-s"], help="Stack; default: the selected one.")]
All = Annotated[bool, Parameter(name="--all", help="Every machine of the stack.")]
Budget = Annotated[float | None, Parameter(name="--budget-minutes", help="Begin no further machine after this time.")]


def register(app: App) -> None:
    """Put the commands into the app."""
    for command in (drain, restart, reboot, reset, free_lease):
        app.command(command)
    app.command(open_nodes, name="open")
    upgrade = App(name="upgrade", help="Bring machines to another version, one at a time.")
    upgrade.command(k3s)
    app.command(upgrade)


def drain(*nodes: str, everything: All = False, stack: Stack = None, budget_minutes: Budget = None) -> int:
    """Close nodes for pods; chutes may finish, then are ended."""
    return _act(Verb.DRAIN, "drain", nodes, everything, stack, budget_minutes)


def restart(*nodes: str, everything: All = False, stack: Stack = None, budget_minutes: Budget = None) -> int:
    """Restart k3s: drained before, Ready and open after."""
    return _act(Verb.RESTART, "restart", nodes, everything, stack, budget_minutes)


def reboot(*nodes: str, everything: All = False, stack: Stack = None, budget_minutes: Budget = None) -> int:
    """Reboot machines: drained before, Ready and open after."""
    return _act(Verb.REBOOT, "reboot", nodes, everything, stack, budget_minutes)


def reset(node: str, *, confirm: str, stack: Stack = None) -> int:
    """Remove a machine's cluster with its data; the next `pulumi up` builds it anew. `--confirm` repeats the name."""
    if confirm != node:
        print(f"--confirm says {confirm}, the node is {node}: nothing was done", file=sys.stderr)
        return 1
    return _act(Verb.WIPE, "reset", (node,), False, stack, None)


def open_nodes(*nodes: str, everything: All = False, stack: Stack = None) -> int:
    """Let pods onto drained nodes again."""
    return _act(Verb.OPEN, "open", nodes, everything, stack, None)


def free_lease(*, stack: Stack = None) -> int:
    """Free the fleet's lease after you have looked at the machine that froze it."""
    return _act(Verb.RECOVER, "free-lease", (), True, stack, None, keeper_only=True)


def k3s(version: str, *, source: str, sha256: str | None = None, stack: Stack = None) -> int:
    """Set k3s's version and source in the stack file, then `pulumi up`; the lease keeps it to one node at a time."""
    engine = Engine(stack=stack)
    values = {"version": version, "source": source, **({"sha256": sha256} if sha256 else {})}
    try:
        for key, value in values.items():
            engine.quietly("config", "set", "--path", f"kubernetes.{key}", value)
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1
    return engine.visibly("up")


def _act(
    verb: Verb,
    command: str,
    nodes: tuple[str, ...],
    everything: bool,
    stack: str | None,
    budget_minutes: float | None,
    keeper_only: bool = False,
) -> int:
    try:
        machines = chosen(machines_of(Engine(stack=stack)), nodes, everything=everything)
    except (EngineError, UnknownMachineError) as error:
        print(error, file=sys.stderr)
        return 1
    if keeper_only:
        machines = tuple(item for item in machines if item.lease is None or item.lease.host == item.host)
    budget = None if budget_minutes is None else budget_minutes * 60
    report = asyncio.run(in_turn(verb, machines, print, budget_seconds=budget))
    if report.failure is None:
        print(f"done: {', '.join(report.done) or 'nothing to do'}")
        return 0
    print(f"stopped: {report.failure}", file=sys.stderr)
    print(f"done: {', '.join(report.done) or 'none'}; go on with: {report.resume_with(command)}", file=sys.stderr)
    return 1
