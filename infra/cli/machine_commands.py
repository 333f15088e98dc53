"""`headframe drain | open | restart | reboot | reset | upgrade`: acts on machines, one machine at a time."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Annotated, Final

from cyclopts import App, Parameter

from infra.cli.acts import in_turn
from infra.cli.engine import Engine, EngineError
from infra.cli.machines import UnknownMachineError, chosen, machines_of
from infra.cli.placement import LockOptions, PlacementError
from infra.spec import Verb

Stack = Annotated[str | None, Parameter(name=["--stack", "-s"], help="Stack; default: the selected one.")]
All = Annotated[bool, Parameter(name="--all", help="Every machine of the stack.")]
Budget = Annotated[float | None, Parameter(name="--budget-minutes", help="Begin no further machine after this time.")]
LOCK: Final = LockOptions()
UNLOCKED: Final = LockOptions(without_lock=True)


@dataclass(frozen=True)
class Wanted:
    """One command as it was typed."""

    verb: Verb
    command: str
    nodes: tuple[str, ...] = ()
    everything: bool = False
    lock: LockOptions = LOCK
    budget_minutes: float | None = None
    #: Only the machine that keeps the lease.
    keeper_only: bool = False


def register(app: App) -> None:
    """Put the commands into the app."""
    for command in (drain, restart, reboot, reset, free_lease):
        app.command(command)
    app.command(open_nodes, name="open")
    upgrade = App(name="upgrade", help="Bring machines to another version, one at a time.")
    upgrade.command(k3s)
    app.command(upgrade)


def drain(
    *nodes: str, everything: All = False, stack: Stack = None, budget_minutes: Budget = None, lock: LockOptions = LOCK
) -> int:
    """Place nothing more on nodes and close them for pods; chutes may finish, then are ended."""
    return _act(Wanted(Verb.DRAIN, "drain", nodes, everything, lock, budget_minutes), stack)


def restart(
    *nodes: str, everything: All = False, stack: Stack = None, budget_minutes: Budget = None, lock: LockOptions = LOCK
) -> int:
    """Restart k3s: drained before, Ready and open after."""
    return _act(Wanted(Verb.RESTART, "restart", nodes, everything, lock, budget_minutes), stack)


def reboot(
    *nodes: str, everything: All = False, stack: Stack = None, budget_minutes: Budget = None, lock: LockOptions = LOCK
) -> int:
    """Reboot machines: drained before, Ready and open after."""
    return _act(Wanted(Verb.REBOOT, "reboot", nodes, everything, lock, budget_minutes), stack)


def reset(node: str, *, confirm: str, stack: Stack = None, lock: LockOptions = LOCK) -> int:
    """Remove a machine's cluster with its data; the next `pulumi up` builds it anew. `--confirm` repeats the name."""
    if confirm != node:
        print(f"--confirm says {confirm}, the node is {node}: nothing was done", file=sys.stderr)
        return 1
    return _act(Wanted(Verb.WIPE, "reset", (node,), lock=lock), stack)


def open_nodes(*nodes: str, everything: All = False, stack: Stack = None, lock: LockOptions = LOCK) -> int:
    """Let pods onto drained nodes again, and Gepetto place there."""
    return _act(Wanted(Verb.OPEN, "open", nodes, everything, lock), stack)


def free_lease(*, stack: Stack = None) -> int:
    """Free the fleet's lease after you have looked at the machine that froze it."""
    return _act(Wanted(Verb.RECOVER, "free-lease", everything=True, lock=UNLOCKED, keeper_only=True), stack)


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


def _act(wanted: Wanted, stack: str | None) -> int:
    try:
        every = machines_of(Engine(stack=stack))
        machines = chosen(every, wanted.nodes, everything=wanted.everything)
        placement = wanted.lock.placement(every)
    except (EngineError, UnknownMachineError, PlacementError) as error:
        print(error, file=sys.stderr)
        return 1
    if wanted.keeper_only:
        machines = tuple(item for item in machines if item.lease is None or item.lease.host == item.host)
    budget = None if wanted.budget_minutes is None else wanted.budget_minutes * 60
    report = asyncio.run(in_turn(wanted.verb, machines, print, placement=placement, budget_seconds=budget))
    if report.failure is None:
        print(f"done: {', '.join(report.done) or 'nothing to do'}")
        return 0
    go_on = report.resume_with(wanted.command)
    print(f"stopped: {report.failure}", file=sys.stderr)
    print(f"done: {', '.join(report.done) or 'none'}; go on with: {go_on}", file=sys.stderr)
    return 1
