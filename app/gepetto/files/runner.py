"""Runs an operator's file beside Gepetto, with limits, hot reload and a fallback (spec: gepetto 24.7)."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import structlog

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.decide import decide
from app.gepetto.decision.intents import Intent
from app.gepetto.decision.memory import Memory
from app.gepetto.files.recognise import FileMode, recognise
from app.gepetto.files.wire import dump_snapshot, load_intents
from app.gepetto.world.snapshot import Snapshot

log = structlog.get_logger(__name__)

LINE_BYTES: Final = 64 * 1024 * 1024


class FileFaultError(Exception):
    """The file could not be loaded or its decision failed; `kind` is a metric label."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Limits:
    """What an operator's file may use."""

    start_seconds: float = 20.0
    decision_seconds: float = 2.0
    memory_bytes: int = 2 * 1024**3
    cpu_seconds: int = 0


class FileProcess:
    """One child process that runs one version of a file."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path, self.limits = path, limits
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the child and wait until the file is loaded.

        Raises:
            FileFaultError: it could not be loaded, or took too long.
        """
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app.gepetto.files.child", str(self.path), str(self.limits.memory_bytes),
            str(self.limits.cpu_seconds), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES, env=_environment(),
        )  # fmt: skip
        answer = await self._answer(self.limits.start_seconds, "load")
        if "error" in answer:
            await self.stop()
            raise FileFaultError("load", str(answer["error"]))

    async def decide(self, snapshot: Snapshot, configuration: Configuration) -> tuple[Intent, ...]:
        """One decision of the file.

        Raises:
            FileFaultError: it failed, took too long, or gave something that is no intent.
        """
        process = self._process
        if process is None or process.stdin is None or process.returncode is not None:
            raise FileFaultError("exit", "the file's process has ended")
        request = {
            "snapshot": base64.b64encode(dump_snapshot(snapshot)).decode(),
            "configuration": configuration.model_dump(mode="json"),
        }
        try:
            process.stdin.write(orjson.dumps(request) + b"\n")
            async with asyncio.timeout(self.limits.decision_seconds):
                await process.stdin.drain()
        except (TimeoutError, OSError) as error:
            raise FileFaultError("exit", f"the file's process does not read: {type(error).__name__}") from error
        answer = await self._answer(self.limits.decision_seconds, "decision")
        if "error" in answer:
            kind = "memory" if "MemoryError" in str(answer["error"]) else "exception"
            raise FileFaultError(kind, str(answer["error"]))
        items = answer.get("intents")
        try:
            return load_intents(items if isinstance(items, list) else [])
        except ValueError as error:
            raise FileFaultError("answer", str(error)) from error

    async def _answer(self, seconds: float, what: str) -> dict[str, object]:
        process = self._process
        if process is None or process.stdout is None:
            raise FileFaultError("exit", "the file's process has ended")
        try:
            async with asyncio.timeout(seconds):
                line = await process.stdout.readline()
            found = orjson.loads(line)
        except TimeoutError:
            await self.stop()
            raise FileFaultError("timeout", f"the {what} took more than {seconds} s") from None
        except (orjson.JSONDecodeError, ValueError):
            await self.stop()
            raise FileFaultError("exit", f"the file's process ended during the {what}") from None
        return found if isinstance(found, dict) else {"error": "no object"}

    async def stop(self) -> None:
        """End the child."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
            await process.wait()


def _environment() -> dict[str, str]:
    """What the child sees: how to find the packages, and no secret of ours."""
    paths = ":".join(entry for entry in sys.path if entry)
    return {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return None


class FileDecider:
    """Decides by the operator's file; by the default for every call that the file cannot answer.

    Args:
        path: the file; a change of its text loads it anew. A version that failed is not tried again.
        limits: time and memory.
        on_fault: told the kind and the message of every fault, for metric and event.
        fail_stop: raise instead of falling back.
        on_recovery: told that the file decides, at first and after every fallback.
    """

    def __init__(
        self,
        path: Path,
        limits: Limits,
        on_fault: Callable[[str, str], None],
        *,
        fail_stop: bool = False,
        on_recovery: Callable[[], None] = lambda: None,
    ) -> None:
        self.path, self._limits, self._on_fault, self._fail_stop = path, limits, on_fault, fail_stop
        self._on_recovery = on_recovery
        self._process: FileProcess | None = None
        self._text: str | None = None
        self._memory = Memory()
        self.is_fallback = True

    @property
    def name(self) -> str:
        return "built-in" if self.is_fallback else f"file {self.path.name}"

    async def decide(self, snapshot: Snapshot, configuration: Configuration) -> tuple[Intent, ...]:
        try:
            await self._reload()
            if self._process is None:
                raise FileFaultError("load", "no version of the file could be loaded")
            intents = await self._process.decide(snapshot, configuration)
        except FileFaultError as error:
            self._fault(error)
            intents, self._memory = decide(snapshot, configuration, self._memory)
            return intents
        if self.is_fallback:
            self._on_recovery()
        self.is_fallback = False
        return intents

    async def _reload(self) -> None:
        """Load the file when its text differs from the one that was tried last."""
        text = await asyncio.to_thread(_read, self.path)
        if text is None:
            raise FileFaultError("absent", f"{self.path} does not exist")
        if text == self._text:
            return  # this version acts, or has failed and is not tried again until it changes
        self._text = text
        try:
            if recognise(text).mode is FileMode.FULL:
                raise FileFaultError("mode", "a complete public file runs as a process of its own")
        except ValueError as error:
            await self.stop()
            raise FileFaultError("syntax", str(error)) from error
        fresh = FileProcess(self.path, self._limits)
        await self.stop()
        await fresh.start()
        self._process = fresh
        log.info("strategy file loaded", path=str(self.path))

    def _fault(self, error: FileFaultError) -> None:
        if error.kind in {"timeout", "exit"}:
            self._process = None
        self.is_fallback = True
        self._on_fault(error.kind, str(error))
        log.error("the strategy file failed, the default decides", kind=error.kind, reason=str(error)[-500:])
        if self._fail_stop:
            raise error

    async def stop(self) -> None:
        if self._process is not None:
            await self._process.stop()
            self._process = None
