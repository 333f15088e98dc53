"""What was told to end ends, though its own tasks fail at that very moment."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx
import pytest

from agent.watch.client import MonitorClient
from agent.watch.lifecycle import Lifecycle
from agent.watch.metrics import AgentMetrics
from agent.watch.parts import LifecycleParts
from agent.watch.session import Collected, Session
from agent.watch.state_file import StateFile
from app.observe.informer import ClusterInformer, InformerServices
from app.observe.metrics import MonitorMetrics
from app.protocol import cancellation
from app.protocol.cluster_access import ClusterAccess
from app.protocol.kubernetes_reads import ClusterReadError
from tests.support.observe import SIGNER


async def failing_group(started: asyncio.Event) -> None:
    """A group whose task answers its cancellation with an error of its own."""

    async def fails_when_cancelled() -> None:
        try:
            started.set()
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ClusterReadError("the connection broke meanwhile") from None

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fails_when_cancelled())


async def ends(task: asyncio.Task[None], started: asyncio.Event) -> bool:
    """Whether a task that is told to end while its own tasks run is cancelled within 30 seconds."""
    await started.wait()
    task.cancel()
    await asyncio.wait([task], timeout=30)
    return task.cancelled()


async def test_an_informer_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    started = asyncio.Event()
    services = cast("InformerServices", SimpleNamespace(metrics=MonitorMetrics(), followed=set()))
    informer = ClusterInformer("gpu-1", ClusterAccess("c", "https://api.invalid"), services)
    monkeypatch.setattr(informer, "_session", lambda: failing_group(started))
    assert await ends(asyncio.create_task(informer.run()), started)


async def test_an_agent_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started = asyncio.Event()
    async with httpx.AsyncClient() as kubernetes, MonitorClient("http://monitor.invalid", "gpu-1", SIGNER) as monitor:
        state = StateFile(tmp_path / "url")
        parts = LifecycleParts("gpu-1", (), kubernetes, lambda _: monitor, state, AgentMetrics())
        lifecycle = Lifecycle(parts)
        lifecycle._monitor = monitor
        monkeypatch.setattr(Session, "run", lambda _: failing_group(started))
        assert await ends(asyncio.create_task(lifecycle._own(Collected(()))), started)


async def test_work_that_loses_the_first_cancellation_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancellation, "_AGAIN_SECONDS", 0.01)
    lost = []

    async def careless() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            lost.append(1)  # as a client does whose answer came in the same moment
        await asyncio.sleep(60)

    caller = asyncio.create_task(cancellation.run_apart(careless()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    caller.cancel()
    async with asyncio.timeout(5):
        ends = await asyncio.gather(caller, return_exceptions=True)
    assert lost == [1]
    assert isinstance(ends[0], asyncio.CancelledError)


async def deaf_once(heard: list[int]) -> None:
    """Work that loses its first cancellation, as `asyncio.wait_for` may before Python 3.12."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            heard.append(1)
            if len(heard) > 1:
                raise


async def fails() -> None:
    await asyncio.sleep(0.01)
    raise ClusterReadError("refused")


async def test_works_that_run_together_end_with_the_first_failure_though_one_lost_its_cancellation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cancellation, "_AGAIN_SECONDS", 0.01)
    heard: list[int] = []
    with pytest.raises(ExceptionGroup) as caught:
        await cancellation.run_together(deaf_once(heard), fails())
    assert [str(error) for error in caught.value.exceptions] == ["refused"]
    assert len(heard) == 2


async def test_works_that_run_together_end_when_the_caller_is_told_to_even_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cancellation, "_AGAIN_SECONDS", 0.02)
    heard: list[int] = []
    task = asyncio.create_task(cancellation.run_together(deaf_once(heard)))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(heard) >= 2


async def test_works_that_run_together_may_all_end_by_themselves() -> None:
    ended: list[str] = []

    async def works(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        ended.append(name)

    await cancellation.run_together(works("slow", 0.01), works("quick", 0))
    assert ended == ["quick", "slow"]
