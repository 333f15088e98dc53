"""Acts on machines, one at a time: the runner does each under the fleet's lease; the first failure stops the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infra.provider.children import Children
from infra.spec import ErrorEvent, Event, HostSpec, LogEvent, OperationEvent, OperationState, ResultEvent, Verb

_ACT_SECONDS = 7200.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """How far a roll-out came. `failure` is None when every machine is done."""

    done: tuple[str, ...]
    left: tuple[str, ...]
    failure: str | None = None

    def resume_with(self, command: str) -> str:
        """The command that goes on with what is left."""
        return f"headframe {command} {' '.join(self.left)}"


async def in_turn(
    verb: Verb,
    machines: Sequence[HostSpec],
    say: Say,
    *,
    budget_seconds: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Report:
    """Do the act on each machine, one after the other.

    Args:
        budget_seconds: no further machine is begun after this time; one that was begun is finished.
    """
    children = Children(at_once=1)
    began = clock()
    names = [machine.name for machine in machines]
    for number, machine in enumerate(machines):
        if budget_seconds is not None and number and clock() - began >= budget_seconds:
            return Report(tuple(names[:number]), tuple(names[number:]), "the time budget is spent")
        say(f"{machine.name}: {verb} ({number + 1} of {len(machines)})")
        failure = await _one(children, verb, machine, say)
        if failure is not None:
            return Report(tuple(names[:number]), tuple(names[number:]), f"{machine.name}: {failure}")
    return Report(tuple(names), ())


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
