"""`headframe drain | open | restart | reboot | reset | upgrade`: acts on machines, one machine at a time."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from cyclopts import App, Parameter

from infra.cli import stack_file
from infra.cli.acts import in_turn
from infra.cli.engine import CLONE, Engine, EngineError
from infra.cli.machines import UnknownMachineError, chosen, machines_of
from infra.cli.placement import LockOptions, PlacementError
from infra.cli.rebuilt import forget_cluster
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
    stack: str | None = None
    budget_minutes: float | None = None
    #: Only the machine that keeps the lease.
    keeper_only: bool = False

    def go_on(self, left: Sequence[str]) -> str:
        """The command that does the rest in the same way. The hotkey's file is named again where it was."""
        words = ["headframe", self.command, *(() if self.keeper_only else left)]
        if self.verb is Verb.WIPE:
            words += ["--confirm", *left]
        if self.stack:
            words += ["--stack", self.stack]
        if self.lock.without_lock and not self.keeper_only:
            words.append("--without-lock")
        elif self.lock.hotkey:
            words += ["--hotkey", str(self.lock.hotkey)]
        if self.lock.miner_api:
            words += ["--miner-api", self.lock.miner_api]
        return shlex.join(words)


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
    return _act(Wanted(Verb.DRAIN, "drain", nodes, everything, lock, stack, budget_minutes))


def restart(
    *nodes: str, everything: All = False, stack: Stack = None, budget_minutes: Budget = None, lock: LockOptions = LOCK
) -> int:
    """Restart k3s: drained before, Ready and open after."""
    return _act(Wanted(Verb.RESTART, "restart", nodes, everything, lock, stack, budget_minutes))


def reboot(
    *nodes: str, everything: All = False, stack: Stack = None, budget_minutes: Budget = None, lock: LockOptions = LOCK
) -> int:
    """Reboot machines: drained before, Ready and open after."""
    return _act(Wanted(Verb.REBOOT, "reboot", nodes, everything, lock, stack, budget_minutes))


def reset(node: str, *, confirm: str, stack: Stack = None, lock: LockOptions = LOCK) -> int:
    """Remove a machine's cluster with its data; the next `pulumi up` builds it anew. `--confirm` repeats the name."""
    if confirm != node:
        print(f"--confirm says {confirm}, the node is {node}: nothing was done", file=sys.stderr)
        return 1
    wanted = Wanted(Verb.WIPE, "reset", (node,), lock=lock, stack=stack)
    if status := _act(wanted):
        return status
    try:
        forgotten = forget_cluster(Engine(stack=stack), node)
    except EngineError as error:
        print(f"{node} is wiped, but the state still holds what stood there: {error}", file=sys.stderr)
        print(f"go on with: {wanted.go_on((node,))}", file=sys.stderr)
        return 1
    print(f"{forgotten} objects of its cluster are gone with it: the next update makes them anew")
    return 0


def open_nodes(*nodes: str, everything: All = False, stack: Stack = None, lock: LockOptions = LOCK) -> int:
    """Let pods onto drained nodes again, and Gepetto place there."""
    return _act(Wanted(Verb.OPEN, "open", nodes, everything, lock, stack))


def free_lease(*, stack: Stack = None) -> int:
    """Free the fleet's lease after you have looked at the machine that froze it."""
    return _act(Wanted(Verb.RECOVER, "free-lease", everything=True, lock=UNLOCKED, stack=stack, keeper_only=True))


def k3s(version: str, *, source: str, sha256: str | None = None, stack: Stack = None) -> int:
    """Set k3s's version and source in the stack file, then `pulumi up`; the lease keeps it to one node at a time."""
    engine = Engine(stack=stack)
    path = stack_file.stack_file(CLONE, engine.stack_name(), engine.environment)
    stack_file.write(path, stack_file.set_kubernetes(stack_file.read(path), version, source, sha256))
    return engine.visibly("up")


def _act(wanted: Wanted) -> int:
    try:
        every = machines_of(Engine(stack=wanted.stack))
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
    print(f"stopped: {report.failure}", file=sys.stderr)
    print(f"done: {', '.join(report.done) or 'none'}; go on with: {wanted.go_on(report.left)}", file=sys.stderr)
    return 1
