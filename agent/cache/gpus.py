"""Waits until the GPUs of a starting chute are idle (spec: agent-monitor 15.2). No answer is never "idle"."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Final

IDLE_MEMORY_MIB: Final = 1024
_POLL_SECONDS: Final = 5.0
_TOOL_TIMEOUT_SECONDS: Final = 30.0

#: Runs a command: its output, or None when it failed.
Run = Callable[[Sequence[str]], str | None]


def run_tool(command: Sequence[str]) -> str | None:
    """Run a command of this machine."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TOOL_TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def are_idle(run: Run) -> bool:
    """No process computes on a visible GPU, and none holds more than 1024 MiB. A failed question is not "idle"."""
    processes = run(["nvidia-smi", "--query-compute-apps=pid", "--format=csv,noheader"])
    if processes is None or processes.strip():
        return False
    memory = run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"])
    if memory is None:
        return True  # the processes are known to be none; some drivers refuse only this question
    values = memory.split()
    return all(value.isdigit() and int(value) <= IDLE_MEMORY_MIB for value in values)


def wait_until_idle(
    timeout_seconds: float,
    *,
    run: Run = run_tool,
    has_tool: Callable[[], bool] = lambda: shutil.which("nvidia-smi") is not None,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> bool:
    """Whether the GPUs became idle in time; at once where there is no `nvidia-smi`."""
    if not has_tool():
        return True
    deadline = now() + timeout_seconds
    while True:
        if are_idle(run):
            return True
        if now() >= deadline:
            return False
        sleep(_POLL_SECONDS)
