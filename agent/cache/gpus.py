"""Waits until the GPUs of a starting chute are idle (spec: agent-monitor 15.2). No answer is "unknown", not "idle"."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
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


class GpuState(StrEnum):
    """What is known of the visible GPUs."""

    IDLE = "idle"
    BUSY = "busy"
    UNKNOWN = "unknown"


def ask(run: Run) -> GpuState:
    """Idle: no process computes on a visible GPU, and none holds more than 1024 MiB."""
    processes = run(["nvidia-smi", "--query-compute-apps=pid", "--format=csv,noheader"])
    if processes is None:
        return GpuState.UNKNOWN
    if processes.strip():
        return GpuState.BUSY
    memory = run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"])
    if memory is None:
        return GpuState.IDLE  # the processes are known to be none; some drivers refuse only this question
    values = memory.split()
    if any(value.isdigit() and int(value) > IDLE_MEMORY_MIB for value in values):
        return GpuState.BUSY
    # An empty answer is one about no GPU at all.
    return GpuState.IDLE if values and all(value.isdigit() for value in values) else GpuState.UNKNOWN


def wait_until_idle(
    timeout_seconds: float,
    *,
    run: Run = run_tool,
    has_tool: Callable[[], bool] = lambda: shutil.which("nvidia-smi") is not None,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> GpuState:
    """Ask until the GPUs are idle or the time is over; the last answer. Without `nvidia-smi`: unknown, at once."""
    if not has_tool():
        return GpuState.UNKNOWN
    deadline = now() + timeout_seconds
    while True:
        state = ask(run)
        if state is GpuState.IDLE or now() >= deadline:
            return state
        sleep(_POLL_SECONDS)
