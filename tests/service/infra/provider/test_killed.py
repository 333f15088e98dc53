"""Kills: nothing outlives the engine, and the next run repairs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.provider.wire import Properties
from tests.support.processes import arguments_of, children_of, is_alive
from tests.support.provider import SmallEngine
from tests.support.waiting import until

pytestmark = pytest.mark.service
Inputs = Callable[..., Properties]


def runners(engine: SmallEngine) -> list[int]:
    return [child for child in children_of(engine.process.pid) if "infra.hosts" in arguments_of(child)]


def wanted(inputs: Inputs) -> dict[str, Properties]:
    return {"gpu-0": inputs(**{f"file{number}": "x" for number in range(12)})}


async def interrupt(engine: SmallEngine, inputs: Inputs, act: Callable[[], object]) -> list[int]:
    """Do the act while a runner is changing the machine; returns the runners of that moment."""
    running = asyncio.create_task(engine.up(wanted(inputs)))
    await until(lambda: any(line.ephemeral for line in engine.log.lines), seconds=60)
    alive = runners(engine)
    act()
    with contextlib.suppress(Exception):
        await running
    return alive


async def test_a_killed_runner_leaves_a_recorded_host_that_the_next_run_finishes(
    engine: SmallEngine, inputs: Inputs, tmp_path: Path
) -> None:
    def kill_runners() -> None:
        for process_id in runners(engine):
            os.kill(process_id, signal.SIGKILL)

    await interrupt(engine, inputs, kill_runners)
    assert engine.state["gpu-0"].outputs["drift"] != []
    await engine.up(wanted(inputs))
    assert await engine.preview(wanted(inputs)) == {"gpu-0": []}


async def test_a_killed_provider_takes_its_runners_along_and_the_next_run_repairs(
    engine: SmallEngine, inputs: Inputs
) -> None:
    alive = await interrupt(engine, inputs, engine.process.kill)
    assert alive
    await until(lambda: not any(is_alive(process_id) for process_id in alive))
    await engine.stop_provider()
    await engine.start_provider()
    await engine.up(wanted(inputs))
    assert await engine.preview(wanted(inputs)) == {"gpu-0": []}


async def test_a_provider_ends_when_its_engine_is_gone(inputs: Inputs) -> None:
    async with SmallEngine() as engine:
        alive = await interrupt(engine, inputs, lambda: None)
        await engine.log_server.stop(None)
        await until(lambda: engine.process.returncode is not None, seconds=20)
        assert not any(is_alive(process_id) for process_id in alive)
