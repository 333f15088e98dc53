"""Waiting for idle GPUs (spec: agent-monitor 15.2)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent.cache.gpus import are_idle, run_tool, wait_until_idle


@pytest.mark.parametrize(
    ("processes", "memory", "idle"),
    [
        ("", "10\n1024\n", True),
        ("", "1025\n", False),
        ("4711\n", "0\n", False),
        (None, "0\n", False),
        ("", "[N/A]\n", False),
        ("", None, True),
    ],
)
def test_idle_is_what_is_known_to_be_idle(processes: str | None, memory: str | None, idle: bool) -> None:
    def run(command: Sequence[str]) -> str | None:
        return processes if "compute-apps" in command[1] else memory

    assert are_idle(run) is idle


def test_waiting_ends_at_the_first_idle_look_or_at_the_deadline() -> None:
    clock = [0.0]
    answers = iter(["1\n", "1\n", "", "0"])

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    def busy(_command: Sequence[str]) -> str:
        return "1\n"

    idle = wait_until_idle(180, run=lambda _: next(answers), has_tool=lambda: True, sleep=sleep, now=lambda: clock[0])
    assert (idle, clock[0]) == (True, 10.0)
    assert not wait_until_idle(180, run=busy, has_tool=lambda: True, sleep=sleep, now=lambda: clock[0])
    assert wait_until_idle(180, has_tool=lambda: False)


def test_a_tool_that_is_missing_or_fails_gives_no_answer() -> None:
    assert run_tool(["/nonexistent/tool"]) is None
    assert run_tool(["false"]) is None
    assert run_tool(["echo", "1"]) == "1\n"
