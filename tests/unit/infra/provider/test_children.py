"""The time that a child has: counted anew when its run begins to wait, so that waiting never cuts off the work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.provider.children import Children
from infra.spec import Event, TurnEvent, Verb
from tests.support.specs import host_spec

Runner = Callable[[str], None]
_TURN = '{"event": "turn", "waitsSeconds": 2.5}'


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Puts a script in the place of the host runner."""

    def put(script: str) -> None:
        program = tmp_path / "runner"
        program.write_text(f"#!/bin/sh\nread -r spec\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))

    return put


async def ended() -> list[Event]:
    """Events of a child that has 2 s for its work."""
    seen: list[Event] = []

    async def take(event: Event) -> None:
        seen.append(event)

    await Children(at_once=1).run(Verb.APPLY, host_spec(), take, 2.0)
    return seen


async def test_waiting_for_a_turn_is_not_counted(runner: Runner) -> None:
    runner(f"echo '{_TURN}'; sleep 2.5")
    assert await ended() == [TurnEvent(waits_seconds=2.5)]


async def test_work_that_does_not_end_is_cut_off(runner: Runner) -> None:
    runner("sleep 60")
    with pytest.raises(TimeoutError):
        await ended()
