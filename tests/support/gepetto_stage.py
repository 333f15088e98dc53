"""Acts that tests of the executor share: a stage with a server and a chute, and a copy that is active there."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import text

from app.gepetto.decision.intents import Launch
from app.gepetto.execution.executor import Executor
from app.gepetto.execution.launch import LaunchOrder
from app.gepetto.world.snapshot import Snapshot
from tests.support.gepetto import make_chute, make_deployment, make_server, make_snapshot

if TYPE_CHECKING:
    from tests.service.app.gepetto.conftest import Stage

LAUNCH = Launch("chute-000", "1", "server-000", 0b11)


def order(
    deployment_id: str = "d1", *, gpus: tuple[int, ...] = (0, 1), job: str | None = None, server: int = 0
) -> LaunchOrder:
    """A launch of the first chute on chosen GPUs of a server."""
    intent = replace(LAUNCH, job_id=job, server_id=f"server-{server:03}")
    return LaunchOrder(intent, deployment_id, tuple(f"{server:04x}{gpu:028x}" for gpu in gpus), (1, 4, 0))


async def prepared(stage: Stage) -> Executor:
    """One server, one chute of two GPUs, an executor."""
    await stage.add_server()
    await stage.add_chute(gpu_count=2)
    return stage.restart()


async def launched(stage: Stage, deployment_id: str = "d1") -> tuple[Executor, Snapshot]:
    """An executor, and a snapshot with one active copy."""
    executor = await prepared(stage)
    await executor.launcher.launch(order(deployment_id))
    async with stage.engine.begin() as connection:
        await connection.execute(text("UPDATE deployments SET instance_id = 'i1', active = true"))
    row = make_deployment(deployment_id, make_server(), make_chute(), 0b11, instance_id="i1", config_id="config-1")
    return executor, make_snapshot((make_server(free_mask=0xFC),), (make_chute(gpu_count=2),), (row,))


async def drain(executor: Executor) -> None:
    """Carry out everything that was submitted."""
    task = asyncio.create_task(executor.run())
    async with asyncio.timeout(20):
        await executor.drained()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
