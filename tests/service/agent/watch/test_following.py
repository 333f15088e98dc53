"""How the agent follows a cluster and survives, on a real API server (spec: agent-monitor 22 C10-C20, 23 X4-X8)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from agent.watch.session import collect, collections_of
from app.protocol.channels import ResourceType
from app.protocol.kubernetes_reads import ClusterReadError, Collection, Listing, Presence, list_collection, look_up
from app.protocol.monitoring import AgentState
from app.protocol.objects import ObjectEvent
from app.protocol.reflection import Reflector
from lab.kubernetes.apiserver import LocalApiServer
from tests.support.agents import (
    Cluster,
    RunningAgent,
    access_of,
    agent_settings,
    eventually,
    running_agent,
)
from tests.support.fake_monitor import FakeMonitor, fake_monitor

pytestmark = pytest.mark.service


async def saw(monitor: FakeMonitor, *wanted: tuple[str, str]) -> None:
    async def arrived() -> bool:
        return set(wanted) <= set(monitor.events())

    await eventually(arrived, what=f"{wanted}")


async def test_c10_without_an_address_the_agent_stays_stopped(agent: RunningAgent) -> None:
    await asyncio.sleep(0.3)
    assert await agent.state() == "stopped"
    assert agent.lifecycle._owner is None


async def test_c11_c13_a_boot_without_a_monitor_is_degraded_and_recovers(
    api_server: LocalApiServer, cluster: Cluster, tmp_path: Path
) -> None:
    settings = agent_settings(tmp_path, [cluster.namespace])
    async with fake_monitor(replace=[503, 200]) as monitor:
        (tmp_path / "control_plane_url").write_text(monitor.url)
        async with running_agent(settings, access_of(api_server)) as agent:
            await eventually(lambda: _is(agent, "degraded"))
            message = (await agent.http.get("/monitor/status")).json()["error_message"]
            assert message.startswith("Not connected to control plane")
            await eventually(lambda: _is(agent, "running"))
            assert monitor.names()[:2] == ["replace", "replace"]
        assert (tmp_path / "control_plane_url").exists()


async def test_a_boot_takes_410_as_a_call_to_register(
    api_server: LocalApiServer, cluster: Cluster, tmp_path: Path
) -> None:
    async with fake_monitor(replace=[410]) as monitor:
        (tmp_path / "control_plane_url").write_text(monitor.url)
        async with running_agent(agent_settings(tmp_path, [cluster.namespace]), access_of(api_server)) as agent:
            await eventually(lambda: _is(agent, "running"))
            assert monitor.names()[:2] == ["replace", "register"]


async def test_x1_a_409_to_a_registration_is_answered_by_a_put_and_never_by_a_delete(agent: RunningAgent) -> None:
    async with fake_monitor(register=[409]) as monitor:
        assert (await agent.start(monitor.url)).status_code == 200
        assert monitor.names()[:2] == ["register", "replace"]
        assert "unregister" not in monitor.names()


@pytest.mark.parametrize("status", [404, 409, 410])
async def test_c14_c15_a_refused_heartbeat_brings_one_new_list_and_goes_on(agent: RunningAgent, status: int) -> None:
    async with fake_monitor(heartbeat=[200, status, 200]) as monitor:
        await agent.start(monitor.url)
        await eventually(lambda: _count(monitor, "heartbeat", 4))
        assert monitor.names().count("replace") == 1
        relevant = [name for name in monitor.names() if name != "event"]
        assert relevant[:5] == ["register", "heartbeat", "heartbeat", "replace", "heartbeat"]


async def test_a_monitor_that_is_away_makes_degraded_and_needs_no_new_list(agent: RunningAgent) -> None:
    async with fake_monitor(heartbeat=[200, 500, 500, 500, 200]) as monitor:
        await agent.start(monitor.url)
        await eventually(lambda: _is(agent, "degraded"))
        await eventually(lambda: _is(agent, "running"))
        assert "replace" not in monitor.names()


async def test_x5_a_monitor_that_refuses_every_heartbeat_gets_few_lists(
    api_server: LocalApiServer, cluster: Cluster, tmp_path: Path
) -> None:
    settings = agent_settings(tmp_path, [cluster.namespace], sync_spacing_seconds=0.5)
    async with fake_monitor(heartbeat=[409]) as monitor, running_agent(settings, access_of(api_server)) as agent:
        await agent.start(monitor.url)
        await eventually(lambda: _count(monitor, "replace", 3))
        lists = [call.at for call in monitor.calls if call.name in {"register", "replace"}]
        # Pauses of 0.5, 1 and 2 s; the first list may have taken its time to arrive.
        assert lists[3] - lists[0] > 2


async def test_c17_an_event_that_fails_is_sent_again_and_the_watch_lives(agent: RunningAgent, cluster: Cluster) -> None:
    async with fake_monitor(event=[500, 500, 200]) as monitor:
        await agent.start(monitor.url)
        await cluster.create_pod("a")
        await saw(monitor, ("ADDED", "a"))
        await eventually(lambda: _count(monitor, "event", 3))
        await cluster.create_pod("b")
        await saw(monitor, ("ADDED", "b"))
        assert ("ADDED", "b") in monitor.events()


async def test_an_event_that_the_monitor_cannot_read_is_left_out_alone(agent: RunningAgent, cluster: Cluster) -> None:
    async with fake_monitor(event=[422, 200]) as monitor:
        await agent.start(monitor.url)
        await cluster.create_pod("a")
        await saw(monitor, ("ADDED", "a"))
        await cluster.create_pod("b")
        await saw(monitor, ("ADDED", "b"))
        assert monitor.events().count(("ADDED", "a")) == 1


async def test_c18_a_deletion_is_told_once_when_the_object_is_gone(agent: RunningAgent, cluster: Cluster) -> None:
    await cluster.create_pod("a")
    async with fake_monitor() as monitor:
        await agent.start(monitor.url)
        await cluster.delete_pod("a")
        await saw(monitor, ("DELETED", "a"))
        await asyncio.sleep(0.3)
        assert monitor.events().count(("DELETED", "a")) == 1


async def test_c18_an_object_that_is_being_deleted_is_terminating_until_it_is_gone(
    agent: RunningAgent, cluster: Cluster
) -> None:
    await cluster.create_pod("a")
    await cluster.finalize_pod("a", ["headframe.test/hold"])
    async with fake_monitor() as monitor:
        await agent.start(monitor.url)
        await cluster.delete_pod("a")
        await saw(monitor, ("TERMINATING", "a"))
        assert ("DELETED", "a") not in monitor.events()
        await cluster.finalize_pod("a", [])
        await saw(monitor, ("DELETED", "a"))


async def test_x7_a_name_that_is_used_again_at_once_ends_as_the_new_object(
    agent: RunningAgent, cluster: Cluster
) -> None:
    await cluster.create_pod("a")
    async with fake_monitor() as monitor:
        await agent.start(monitor.url)
        await cluster.delete_pod("a")
        new = await cluster.create_pod("a")
        await saw(monitor, ("DELETED", "a"), ("ADDED", "a"))
        events = [call.body["event"] for call in monitor.calls if call.name == "event"]
        assert events[-1]["object"]["metadata"]["uid"] == new["metadata"]["uid"]


async def test_c19_only_404_and_another_uid_mean_gone(cluster: Cluster, api_server: LocalApiServer) -> None:
    await cluster.create_pod("a")
    listing = await list_collection(cluster.http, Collection(ResourceType.POD, cluster.namespace))
    item = listing.objects[0]
    assert await look_up(cluster.http, item) is Presence.PRESENT
    for status, expected in ((403, Presence.UNKNOWN), (500, Presence.UNKNOWN), (404, Presence.GONE)):
        transport = httpx.MockTransport(lambda _, status=status: httpx.Response(status))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            assert await look_up(client, item) is expected
    await cluster.delete_pod("a")
    await cluster.create_pod("a")
    assert await look_up(cluster.http, item) is Presence.GONE


async def test_c23_x4_half_a_cluster_is_never_reported_as_a_whole(cluster: Cluster, api_server: LocalApiServer) -> None:
    assert {listing.collection.kind for listing in (await collect(cluster.http, collections_of([]))).listings} == {
        ResourceType.NODE
    }
    assert len((await collect(cluster.http, collections_of([cluster.namespace, "default"]))).listings) == 9
    transport = httpx.MockTransport(
        lambda request: httpx.Response(
            403 if "/jobs" in request.url.path else 200, json={"metadata": {"resourceVersion": "1"}}
        )
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        with pytest.raises(ClusterReadError, match="403"):
            await collect(client, collections_of(["chutes"]))


async def test_c20_a_fault_of_the_agent_itself_is_an_error_state(
    agent: RunningAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fake_monitor() as monitor:
        await agent.start(monitor.url)
        session = agent.lifecycle._session
        assert session is not None

        async def broken() -> None:
            raise ValueError("a fault that nobody foresaw")

        monkeypatch.setattr(session.monitor, "heartbeat", broken)
        await eventually(lambda: _is(agent, AgentState.ERROR.value))
        assert (await agent.http.get("/monitor/health")).status_code == 503


# Each start ends the one before in the middle of a connection: the HTTP library leaves such a socket to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_x6_starts_and_stops_during_restarts_leave_one_owner_or_none(agent: RunningAgent) -> None:
    async with fake_monitor(heartbeat=[409]) as monitor:
        for _ in range(4):
            await agent.start(monitor.url)
            await asyncio.sleep(0.15)
            assert owners() == 1
        await agent.stop()
        assert owners() == 0
        monitor.answers["heartbeat"] = [200]
        await agent.start(monitor.url)
        before = monitor.names().count("heartbeat")
        await eventually(lambda: _count(monitor, "heartbeat", before + 3))
        assert owners() == 1


def owners() -> int:
    """How many tasks report to a monitor now, in this process."""
    return sum(task.get_coro().__qualname__ == "Lifecycle._own" for task in asyncio.all_tasks())  # type: ignore[union-attr]


class Recorder:
    """A sink that writes down."""

    def __init__(self) -> None:
        self.events: list[ObjectEvent] = []
        self.lists = 0

    async def on_event(self, event: ObjectEvent) -> None:
        self.events.append(event)

    async def on_list(self, listing: Listing) -> None:
        self.lists += 1


async def test_w2_a_watch_that_lost_its_place_tells_everything_it_missed(cluster: Cluster) -> None:
    collection = Collection(ResourceType.POD, cluster.namespace)
    for name in ("kept", "changed", "gone"):
        await cluster.create_pod(name)
    listing = await list_collection(cluster.http, collection)
    await cluster.label_pod("changed", turn="2")
    await cluster.delete_pod("gone")
    await cluster.create_pod("added")
    real = cluster.http
    expired = [True]

    async def once_expired(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("watch") and expired:
            expired.clear()
            return httpx.Response(410)
        return await real.get(str(request.url))

    recorder = Recorder()
    async with httpx.AsyncClient(transport=httpx.MockTransport(once_expired), base_url=real.base_url) as client:
        reflector = Reflector(client, collection, keep_bodies=True)
        following = asyncio.create_task(reflector.follow(listing, recorder))
        await eventually(lambda: _at_least(recorder, 3))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    told = {(event.type.value, event.object.name) for event in recorder.events}
    assert told == {("MODIFIED", "changed"), ("DELETED", "gone"), ("ADDED", "added")}
    assert recorder.lists == 1


async def test_x8_an_api_server_that_stays_away_ends_the_watch_with_an_error(cluster: Cluster) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(503))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        collection = Collection(ResourceType.NODE)
        with pytest.raises(ClusterReadError, match="503"):
            await Reflector(client, collection, keep_bodies=False).follow(Listing(collection, "1", ()), Recorder())


async def _is(agent: RunningAgent, state: str) -> bool:
    return await agent.state() == state


async def _count(monitor: FakeMonitor, name: str, least: int) -> bool:
    return monitor.names().count(name) >= least


async def _at_least(recorder: Recorder, count: int) -> bool:
    return len(recorder.events) >= count and recorder.lists > 0
