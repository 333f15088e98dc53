"""What consumers check before they end a copy, as the fleet view tells it (spec: agent-monitor 20.5, 22 C40)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.intents import Evidence, Terminate
from app.gepetto.decision.memory import Memory
from app.gepetto.decision.reconcile import reconcile
from app.gepetto.world.snapshot import Snapshot, cluster_source
from app.gepetto.world.views import Source
from tests.support.gepetto import NOW, make_chute, make_deployment, make_server, make_snapshot, pod_of

SERVER, OTHER, CHUTE = make_server(), make_server(1), make_chute()
ROW = make_deployment("d1", SERVER, CHUTE, 1)
HERE = cluster_source(SERVER.name)


def without_pod(**changes: object) -> Snapshot:
    """The row's own server is healthy and its cluster shows no pod of it."""
    bare = replace(make_snapshot((SERVER, OTHER), (CHUTE,), (ROW,)), pods=())
    return replace(bare, **changes)  # type: ignore[arg-type]


def ended(*snapshots: Snapshot) -> list[Evidence]:
    """The evidence for ending the row after these snapshots, one after another."""
    memory, found = Memory(), []
    for snapshot in snapshots:
        intents, sightings = reconcile(snapshot, Configuration(), memory)
        memory = Memory(sightings=sightings)
        found += [intent.evidence for intent in intents if isinstance(intent, Terminate)]
    return found


def later(snapshot: Snapshot, seconds: float, **sources: Source) -> Snapshot:
    """The same a while later, its lists read anew."""
    fresh = {name: Source(NOW + seconds, complete=True) for name in snapshot.sources}
    return replace(snapshot, now=NOW + seconds, sources=fresh | sources)


def test_c40_a_healthy_cluster_that_shows_nothing_twice_allows_the_ending() -> None:
    assert ended(without_pod(), later(without_pod(), 60)) == [Evidence.ABSENT_POD]


@pytest.mark.parametrize("source", [Source(None, complete=False), Source(NOW - 3600, complete=True)])
def test_c40_an_unhealthy_or_stale_cluster_blocks_it_however_often_it_is_read(source: Source) -> None:
    readings = [later(without_pod(), seconds, **{HERE: source}) for seconds in (0, 60, 120, 180)]
    assert ended(*readings) == []


def test_c40_a_copy_that_another_cluster_shows_blocks_it() -> None:
    elsewhere = without_pod(pods=(pod_of(ROW, server_id=OTHER.id),))
    assert not any(isinstance(i, Terminate) for i in reconcile(elsewhere, Configuration(), Memory())[0])
    assert ended(elsewhere, later(elsewhere, 60), later(elsewhere, 120)) == []


def test_c40_a_list_from_before_the_copy_blocks_it_and_one_from_after_allows_it() -> None:
    young = replace(ROW, since=NOW - 60, created_at=NOW - 60)
    snapshot = without_pod(deployments=(young,))
    assert ended(snapshot, later(snapshot, 60), later(snapshot, 120)) == []
    assert ended(*(later(snapshot, seconds) for seconds in (400, 460))) == [Evidence.ABSENT_POD]


def test_c40_reading_one_list_twice_is_one_sighting() -> None:
    assert ended(without_pod(), replace(without_pod(), now=NOW + 60)) == []
