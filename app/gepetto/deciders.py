"""Who decides: the built-in strategies, an operator's file, or the former with the latter as a shadow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.decide import decide
from app.gepetto.decision.intents import Intent, NoOp
from app.gepetto.decision.memory import Memory
from app.gepetto.files.runner import FileDecider
from app.gepetto.world.snapshot import Snapshot


class Decider(Protocol):
    """What turns a snapshot into intents: the built-in `decide`, or an operator's file in a process of its own."""

    @property
    def name(self) -> str: ...

    async def decide(self, snapshot: Snapshot, configuration: Configuration) -> tuple[Intent, ...]: ...

    async def stop(self) -> None:
        """End what it runs in."""
        ...


class BuiltIn:
    """The built-in strategies, in this process: a decision takes milliseconds."""

    def __init__(self) -> None:
        self.memory = Memory()

    @property
    def name(self) -> str:
        return "built-in"

    async def decide(self, snapshot: Snapshot, configuration: Configuration) -> tuple[Intent, ...]:
        intents, self.memory = decide(snapshot, configuration, self.memory)
        return intents

    async def stop(self) -> None:
        """Nothing runs beside this process."""


class ShadowDecider:
    """The built-in strategies act; the file decides beside them, and what differs is told. Tries a file on a fleet.

    Args:
        shadow: the file.
        on_difference: told the keys of intents that only the built-in strategies wanted, and those of the file alone.
    """

    def __init__(self, shadow: FileDecider, on_difference: Callable[[tuple[str, ...], tuple[str, ...]], None]) -> None:
        self._acting, self._shadow, self._on_difference = BuiltIn(), shadow, on_difference

    @property
    def name(self) -> str:
        return "built-in, with a shadow"

    async def decide(self, snapshot: Snapshot, configuration: Configuration) -> tuple[Intent, ...]:
        intents = await self._acting.decide(snapshot, configuration)
        wanted = await self._shadow.decide(snapshot, configuration)
        if not self._shadow.is_fallback:
            ours, theirs = (
                {intent.key for intent in side if not isinstance(intent, NoOp)} for side in (intents, wanted)
            )
            if ours != theirs:
                self._on_difference(tuple(sorted(ours - theirs)), tuple(sorted(theirs - ours)))
        return intents

    async def stop(self) -> None:
        await self._shadow.stop()
