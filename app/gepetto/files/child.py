"""The process that runs an operator's strategy file: `python -m app.gepetto.files.child FILE MEMORY_BYTES CPU_SECONDS`.

It holds no credential and no connection: snapshots come on stdin, intents go out on stdout, one JSON line each.
"""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import inspect
import os
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import orjson

from app.compat import install
from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.decide import decide
from app.gepetto.decision.intents import Intent
from app.gepetto.decision.memory import Memory
from app.gepetto.files.wire import dump_intents, load_snapshot
from app.gepetto.strategies import Strategy
from app.gepetto.world.snapshot import Snapshot

Function = Callable[[Snapshot, Configuration, Memory], tuple[tuple[Intent, ...], Memory]]


def load_module(path: Path) -> ModuleType:
    """The file as a module, with the public import names in place."""
    install()
    spec = importlib.util.spec_from_file_location("gepetto_file", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def function_of(module: ModuleType) -> Function:
    """What the file defines, as one function.

    Raises:
        TypeError: what it defines cannot be used; the message says what was wanted.
    """
    own = getattr(module, "decide", None)
    if own is not None and inspect.isfunction(own) and own.__module__ == module.__name__:
        if len(inspect.signature(own).parameters) != 3:
            raise TypeError("decide takes exactly (snapshot, config, memory)")
        return own
    found = getattr(module, "strategy", None) or getattr(module, "Strategy", None)
    if found is None:
        gepetto = getattr(module, "Gepetto", None)
        if gepetto is None:
            raise TypeError("neither strategy, Strategy, decide nor Gepetto is defined")
        found = gepetto().as_strategy()
    strategy = found() if isinstance(found, type) else found
    if not isinstance(strategy, Strategy):
        raise TypeError(f"the strategy derives from headframe.strategy.Strategy; got {type(strategy).__name__}")

    def run(snapshot: Snapshot, configuration: Configuration, memory: Memory) -> tuple[tuple[Intent, ...], Memory]:
        return decide(snapshot, configuration, memory, strategy)

    return run


def limit(memory_bytes: int, cpu_seconds: int) -> None:
    """Cap this process; beyond, Python raises MemoryError or the kernel ends it."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    if cpu_seconds:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> int:
    path, memory_bytes, cpu_seconds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what the file prints goes to the log, never between our lines
    limit(memory_bytes, cpu_seconds)
    memory = Memory()
    try:
        function = function_of(load_module(path))
    except BaseException:  # noqa: BLE001 - whatever the file raises is an answer, not our fault
        out.write(orjson.dumps({"error": traceback.format_exc(limit=-4)}) + b"\n")
        return 1
    out.write(orjson.dumps({"ready": True}) + b"\n")
    for line in sys.stdin.buffer:
        answer: dict[str, object]
        try:
            request = orjson.loads(line)
            snapshot = load_snapshot(base64.b64decode(request["snapshot"]))
            configuration = Configuration.model_validate(request["configuration"])
            found = function(snapshot, configuration, memory)
            intents, memory = asyncio.run(found) if inspect.iscoroutine(found) else found
            answer = {"intents": dump_intents(tuple(intents))}
        except MemoryError:
            answer = {"error": "MemoryError: beyond the memory limit"}
        except Exception:  # noqa: BLE001 - whatever a hook raises is an answer
            answer = {"error": traceback.format_exc(limit=-4)}
        out.write(orjson.dumps(answer) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
