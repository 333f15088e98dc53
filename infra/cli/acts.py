"""Acts on machines, one at a time: the runner does each under the fleet's lease; the first failure stops the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from infra.cli.placement import Locked, Placement, PlacementError
from infra.provider.children import Children
from infra.spec import (
    ErrorEvent,
    Event,
    HostRole,
    HostSpec,
    LogEvent,
    OperationEvent,
    OperationState,
    ResultEvent,
    Verb,
)

_ACT_SECONDS: Final = 7200.0
#: Before these nothing more is placed on the node; after those it is placed again, unless somebody else had stopped it.
_STOPS: Final = frozenset({Verb.DRAIN, Verb.RESTART, Verb.REBOOT, Verb.WIPE})
_RESUMES: Final = frozenset({Verb.OPEN, Verb.RESTART, Verb.REBOOT})
Say = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """How far a roll-out came. `failure` is None when every machine is done."""

    done: tuple[str, ...]
    left: tuple[str, ...]
    failure: str | None = None


async def in_turn(
    verb: Verb,
    machines: Sequence[HostSpec],
    say: Say,
    *,
    placement: Placement,
    budget_seconds: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Report:
    """Do the act on each machine, one after the other.

    Args:
        placement: stops placing on a GPU node before it is disrupted, and resumes it after.
        budget_seconds: no further machine is begun after this time; one that was begun is finished.
    """
    children = Children(at_once=1)
    began = clock()
    names = [machine.name for machine in machines]
    for number, machine in enumerate(machines):
        if budget_seconds is not None and number and clock() - began >= budget_seconds:
            return Report(tuple(names[:number]), tuple(names[number:]), "the time budget is spent")
        say(f"{machine.name}: {verb} ({number + 1} of {len(machines)})")
        act = partial(_one, children, verb, machine, say)
        try:
            failure = await _unplaced(placement, verb, machine, say, act)
        except asyncio.CancelledError:
            say(
                f"{machine.name}: interrupted. It may be closed for pods and locked, and the lease frozen: look at it, "
                f"then `headframe open {machine.name}`, or the same command again"
            )
            raise
        if failure is not None:
            return Report(tuple(names[:number]), tuple(names[number:]), f"{machine.name}: {failure}")
    return Report(tuple(names), ())


async def _unplaced(
    placement: Placement, verb: Verb, machine: HostSpec, say: Say, act: Callable[[], Awaitable[str | None]]
) -> str | None:
    """Do the act with placing on the node stopped; what went wrong, or None. A failed act leaves it stopped."""
    if machine.role is HostRole.CONTROL or verb not in _STOPS | _RESUMES:
        return await act()
    try:
        stopped = await asyncio.to_thread(placement.stop, machine.name) if verb in _STOPS else Locked.NOW
        if stopped is Locked.UNKNOWN_SERVER:
            say("  the miner API does not know it: nothing is placed there")
        failure = await act()
        if failure is None:
            await _placed_again(placement, verb, machine.name, stopped, say)
    except PlacementError as error:
        return str(error)
    return failure


async def _placed_again(placement: Placement, verb: Verb, name: str, stopped: Locked, say: Say) -> None:
    """After an act that went well: resume placing where the act stopped it, else say what keeps the node locked.

    Raises:
        PlacementError: the miner API does not take it.
    """
    if verb in _RESUMES and stopped is Locked.NOW:
        await asyncio.to_thread(placement.resume, name)
    elif verb in _RESUMES and stopped is Locked.BEFORE:
        say(f"  stays locked in the miner API, as it was before: headframe open {name}")
    elif verb is Verb.WIPE and stopped in {Locked.NOW, Locked.BEFORE}:
        say(f"  stays locked in the miner API, and earns nothing until: headframe up, headframe open {name}")


async def _one(children: Children, verb: Verb, machine: HostSpec, say: Say) -> str | None:
    """What went wrong, or None."""
    last: Event | None = None

    async def take(event: Event) -> None:
        nonlocal last
        last = event
        if isinstance(event, OperationEvent) and event.state is OperationState.STARTED:
            say(f"  {event.name}")
        elif isinstance(event, LogEvent):
            say(f"  {event.message}")

    try:
        ended = await children.run(verb, machine, take, _ACT_SECONDS)
    except TimeoutError:
        return f"not done after {_ACT_SECONDS:.0f} s; look at the machine"
    if isinstance(last, ResultEvent):
        return None
    if isinstance(last, ErrorEvent):
        return last.message
    return f"the host runner ended with {ended.status} and no last word: {ended.stderr[-500:]}"
