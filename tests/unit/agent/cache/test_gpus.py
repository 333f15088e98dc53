"""Waiting for idle GPUs (spec: agent-monitor 15.2)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent.cache.gpus import GpuState, ask, run_tool, wait_until_idle


@pytest.mark.parametrize(
    ("processes", "memory", "state"),
    [
        ("", "10\n1024\n", GpuState.IDLE),
        ("", None, GpuState.IDLE),
        ("", "1025\n", GpuState.BUSY),
        ("", "[N/A]\n1025\n", GpuState.BUSY),
        ("4711\n", "0\n", GpuState.BUSY),
        (None, "0\n", GpuState.UNKNOWN),
        ("", "[N/A]\n", GpuState.UNKNOWN),
        ("", "", GpuState.UNKNOWN),
        ("", "\n", GpuState.UNKNOWN),
    ],
)
def test_idle_is_what_is_known_to_be_idle(processes: str | None, memory: str | None, state: GpuState) -> None:
    def run(command: Sequence[str]) -> str | None:
        return processes if "compute-apps" in command[1] else memory

    assert ask(run) is state


def test_waiting_ends_at_the_first_idle_look_or_at_the_deadline() -> None:
    clock = [0.0]
    answers = iter(["1\n", "1\n", "", "0"])

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    def busy(_command: Sequence[str]) -> str:
        return "1\n"

    def silent(_command: Sequence[str]) -> str:
        return ""

    state = wait_until_idle(180, run=lambda _: next(answers), has_tool=lambda: True, sleep=sleep, now=lambda: clock[0])
    assert (state, clock[0]) == (GpuState.IDLE, 10.0)
    for run, known in ((busy, GpuState.BUSY), (silent, GpuState.UNKNOWN)):
        started = clock[0]
        assert wait_until_idle(180, run=run, has_tool=lambda: True, sleep=sleep, now=lambda: clock[0]) is known
        assert clock[0] - started == 180.0


def test_where_nobody_can_be_asked_nothing_is_known_and_nobody_waits() -> None:
    assert wait_until_idle(180, has_tool=lambda: False) is GpuState.UNKNOWN


def test_a_tool_that_is_missing_or_fails_gives_no_answer() -> None:
    assert run_tool(["/nonexistent/tool"]) is None
    assert run_tool(["false"]) is None
    assert run_tool(["echo", "1"]) == "1\n"
