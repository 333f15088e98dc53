"""What `headframe gepetto check`, `diff` and `shadow` do: try a file on snapshots without letting it act."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.decide import decide
from app.gepetto.decision.intents import Intent, Launch, NoOp
from app.gepetto.decision.memory import Memory
from app.gepetto.files.recognise import FileMode, UnrecognisedError, recognise
from app.gepetto.files.runner import FileFaultError, FileProcess, Limits
from app.gepetto.simulator.engine import Simulation
from app.gepetto.simulator.scenario import Preset, build
from app.gepetto.world.snapshot import Snapshot


@dataclass(frozen=True)
class Finding:
    """One step of a check."""

    step: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Difference:
    """Intents that only one side wanted, by key."""

    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    common: int


def bundled_snapshot(hours: float = 3.0) -> Snapshot:
    """A made-up fleet in the middle of its day with something to launch, from the simulator; always the same one."""
    taken: list[Snapshot] = []

    class _Camera(Simulation):
        def _snapshot(self) -> Snapshot:
            taken.append(super()._snapshot())
            return taken[-1]

    _Camera(build(Preset.MIXED, 1, gpus=24, chutes=60, hours=hours), Configuration()).run()
    return next((one for one in reversed(taken) if _launches(one)), taken[-1])


def _launches(snapshot: Snapshot) -> bool:
    return any(isinstance(intent, Launch) for intent in decide(snapshot, Configuration(), Memory())[0])


async def check(path: Path, limits: Limits = Limits()) -> list[Finding]:  # noqa: B008 - frozen
    """Syntax, kind, loading under limits, and one dry decision; stops at the first step that fails."""
    findings: list[Finding] = []
    try:
        kind = recognise(await asyncio.to_thread(path.read_text))
    except (OSError, UnrecognisedError) as error:
        return [Finding("recognise", ok=False, detail=str(error))]
    findings.append(
        Finding("recognise", ok=True, detail=f"{kind.mode.value}; hooks: {', '.join(kind.hooks) or 'none'}")
    )
    if kind.mode is FileMode.FULL:
        detail = "a complete public file: it runs by itself over our import names; consider the new style"
        return [*findings, Finding("decision", ok=True, detail=detail)]
    process = FileProcess(path, limits)
    try:
        await process.start()
        findings.append(Finding("load", ok=True, detail="loaded in a process of its own"))
        began = time.perf_counter()
        intents = await process.decide(bundled_snapshot(), Configuration())
        seconds = time.perf_counter() - began
        findings.append(Finding("decision", ok=True, detail=f"{len(intents)} intents in {seconds:.2f} s"))
    except FileFaultError as error:
        step = "load" if error.kind == "load" else "decision"
        findings.append(Finding(step, ok=False, detail=f"{error.kind}: {error}"))
    finally:
        await process.stop()
    return findings


def compare_intents(first: tuple[Intent, ...], second: tuple[Intent, ...]) -> Difference:
    """What only one side wanted."""
    keys = [{intent.key for intent in side if not isinstance(intent, NoOp)} for side in (first, second)]
    return Difference(tuple(sorted(keys[0] - keys[1])), tuple(sorted(keys[1] - keys[0])), len(keys[0] & keys[1]))


async def diff(
    old: Path | None,
    new: Path,
    snapshot: Snapshot,
    configuration: Configuration,
    limits: Limits = Limits(),  # noqa: B008
) -> Difference:
    """Decisions of two files (None: the built-in strategy) on one snapshot.

    Raises:
        FileFaultError: one of them failed.
    """
    return compare_intents(
        await _decision(old, snapshot, configuration, limits), await _decision(new, snapshot, configuration, limits)
    )


async def _decision(
    path: Path | None, snapshot: Snapshot, configuration: Configuration, limits: Limits
) -> tuple[Intent, ...]:
    if path is None:
        return decide(snapshot, configuration, Memory())[0]
    process = FileProcess(path, limits)
    try:
        await process.start()
        return await process.decide(snapshot, configuration)
    finally:
        await process.stop()
