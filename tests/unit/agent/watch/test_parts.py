"""The agent's small parts: coalescing, spacing, backoff, state file, settings (spec: agent-monitor 20.3, C10, C24)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.watch.coalescing import CoalescingQueue, QueueOverflowError
from agent.watch.session import backoff_seconds, collections_of
from agent.watch.settings import AgentSettings
from agent.watch.spacing import SyncSpacing
from agent.watch.state_file import StateFile, is_usable
from app.protocol.objects import EventType, ObjectEvent
from tests.support.kubernetes_objects import parsed, pod


def event(kind: EventType, name: str = "a", version: int = 1, uid: str | None = None) -> ObjectEvent:
    return ObjectEvent(kind, parsed(pod(name, version, uid=uid)))


async def types(queue: CoalescingQueue, limit: int = 10) -> list[tuple[str, str, str]]:
    taken = await queue.take(limit)
    return [(p.event.type.value, p.event.object.name, p.event.object.resource_version) for p in taken]


async def test_only_the_latest_state_of_an_object_waits_and_additions_stay_additions() -> None:
    queue = CoalescingQueue()
    queue.put(event(EventType.ADDED, "a", 1))
    queue.put(event(EventType.ADDED, "b", 2))
    queue.put(event(EventType.MODIFIED, "a", 3))
    assert queue.coalesced == 1
    assert await types(queue) == [("ADDED", "a", "3"), ("ADDED", "b", "2")]


async def test_a_deletion_is_kept_and_a_new_object_of_the_name_comes_after_it() -> None:
    queue = CoalescingQueue()
    queue.put(event(EventType.MODIFIED, "a", 1, "old"))
    queue.put(event(EventType.DELETED, "a", 2, "old"))
    queue.put(event(EventType.ADDED, "a", 3, "new"))
    assert await types(queue) == [("DELETED", "a", "2"), ("ADDED", "a", "3")]


async def test_two_senders_never_have_the_same_name_at_once() -> None:
    queue = CoalescingQueue()
    queue.put(event(EventType.DELETED, "a", 2, "old"))
    queue.put(event(EventType.ADDED, "a", 3, "new"))
    queue.put(event(EventType.ADDED, "b", 4))
    first = await queue.take(1)
    second = await queue.take(1)
    assert [first[0].event.object.uid, second[0].event.object.name] == ["old", "b"]
    waiting = asyncio.create_task(queue.take(1))
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.done(first)
    assert (await waiting)[0].event.object.uid == "new"


async def test_what_was_not_sent_goes_first_again_in_its_newest_form() -> None:
    queue = CoalescingQueue()
    queue.put(event(EventType.ADDED, "a", 1))
    queue.put(event(EventType.ADDED, "b", 2))
    taken = await queue.take(1)
    queue.put(event(EventType.MODIFIED, "a", 3))
    queue.give_back(taken, refused=True)
    again = await queue.take(1)
    assert (again[0].event.type, again[0].event.object.resource_version) == (EventType.ADDED, "3")
    queue.give_back(again, refused=True)
    assert (await queue.take(1))[0].refusals == 1


def test_a_full_queue_says_so_and_still_takes_news_of_what_waits() -> None:
    queue = CoalescingQueue(capacity=1)
    queue.put(event(EventType.ADDED, "a", 1))
    queue.put(event(EventType.MODIFIED, "a", 2))
    with pytest.raises(QueueOverflowError):
        queue.put(event(EventType.ADDED, "b", 3))
    assert len(queue) == 1


def test_x5_lists_that_are_asked_for_without_end_grow_rare() -> None:
    spacing, now, sent = SyncSpacing(10), 0.0, 0
    while now < 600:
        now += spacing.wait_seconds(now)
        spacing = spacing.sent(now)
        sent += 1
    assert sent <= 8
    assert spacing.pause_seconds == 300
    assert SyncSpacing(10).sent(0).sent(3600).pause_seconds == 10


@given(st.integers(0, 100), st.floats(0, 1))
def test_backoff_stays_between_a_twentieth_and_thirty_seconds(failures: int, share: float) -> None:
    assert 0.05 <= backoff_seconds(failures, share) <= 30


@pytest.mark.parametrize("url", ["", "ftp://a", "http://", "monitor:32001", "http://[bad"])
def test_c10_an_unusable_address_is_no_address(url: str, tmp_path: Path) -> None:
    assert not is_usable(url)
    (tmp_path / "url").write_text(url)
    assert StateFile(tmp_path / "url").load() is None


def test_the_state_file_survives_what_the_disk_does(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "state" / "url")
    assert state.load() is None
    state.save("http://monitor:32001")
    assert state.load() == "http://monitor:32001"
    state.clear()
    state.clear()
    assert state.load() is None
    (tmp_path / "url").mkdir()
    broken = StateFile(tmp_path / "url")
    assert broken.load() is None
    broken.save("http://monitor:32001")
    broken.clear()
    assert (tmp_path / "url").is_dir()


def test_c24_defaults_and_overrides_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MINER_SS58": "5x", "MINER_SEED": "00", "CLUSTER_NAME": "gpu-1"}.items():
        monkeypatch.setenv(name, value)
    settings = AgentSettings()
    assert (settings.control_plane_timeout, settings.heartbeat_interval, settings.log_level) == (30, 30, "INFO")
    assert settings.watch_namespaces == ("chutes",)
    monkeypatch.setenv("WATCH_NAMESPACES", '["a","b"]')
    monkeypatch.setenv("HEARTBEAT_INTERVAL", "5")
    assert AgentSettings().watch_namespaces == ("a", "b")
    assert AgentSettings().heartbeat_interval == 5


def test_c16_nodes_are_watched_once_and_four_kinds_in_each_namespace() -> None:
    watched = [collection.path for collection in collections_of(["a", "b"])]
    assert len(watched) == 9
    assert watched[0] == "/api/v1/nodes"
    assert len(set(watched)) == 9
    assert len(collections_of([])) == 1
