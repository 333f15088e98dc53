"""A node that is closed for pods is no place for a chute: pods name their node, so no scheduler would stop them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import orjson
import pytest

from app.gepetto.ingest.clusters import CachedClusters, ClusterState
from app.gepetto.ingest.row_views import ServerFacts, server_view
from app.gepetto.ingest.rows import ServerRow
from app.gepetto.kubernetes.reading import node_state
from app.gepetto.world.views import NodeState, ServerView
from app.observe.readings import ClusterHealth, ClusterReading, ObservedObject
from app.observe.readings import ClusterState as Health
from app.protocol import labels
from app.protocol.channels import ResourceType

ROW = ServerRow("s", "gpu-0", "v", None, 1.0, False, False, {}, 1, (("g", "h100", True, None),))


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"spec": {"unschedulable": True}}, NodeState.CLOSED),
        ({"spec": {"unschedulable": True}, "metadata": {"annotations": {labels.DRAINING: "true"}}}, NodeState.DRAINING),
        ({"spec": {}, "metadata": {"annotations": {labels.DRAINING: "true"}}}, NodeState.OPEN),
        ({"spec": {}}, NodeState.OPEN),
        ({}, NodeState.OPEN),
        ({"spec": None}, NodeState.OPEN),
    ],
)
def test_a_cordoned_node_says_so_and_one_that_says_nothing_is_open(node: object, expected: NodeState) -> None:
    assert node_state(node) is expected


def view_of(node: NodeState, *, is_fresh: bool = True) -> ServerView:
    state = ClusterState("gpu-0", healthy=True, completed_at=1.0, pods=(), node=node)
    return server_view(ROW, ServerFacts(None, state, is_fresh=is_fresh), 2.0)


def test_a_closed_nodes_server_counts_as_locked_and_an_open_ones_as_its_row_says() -> None:
    assert {node: view_of(node).locked for node in NodeState} == {
        NodeState.OPEN: False, NodeState.CLOSED: True, NodeState.DRAINING: True,
    }  # fmt: skip
    assert not server_view(ROW, ServerFacts(None, None, is_fresh=False), 2.0).locked


def test_only_a_fresh_reading_says_that_a_server_is_emptied() -> None:
    assert {node: view_of(node).draining for node in NodeState} == {
        NodeState.OPEN: False, NodeState.CLOSED: False, NodeState.DRAINING: True,
    }  # fmt: skip
    stale = view_of(NodeState.DRAINING, is_fresh=False)
    assert (stale.locked, stale.draining) == (True, False)


class View:
    """A fleet cache with one node; counts how often a body is read."""

    def __init__(self) -> None:
        self.version, self.unschedulable, self.reads = "1", False, 0
        self.objects: tuple[ObservedObject, ...] = ()

    async def read_fleet(self, kinds: Collection[ResourceType]) -> tuple[ClusterReading, ...]:
        assert ResourceType.NODE in kinds
        moment = datetime.fromtimestamp(100, UTC)
        node = ObservedObject("gpu-0", ResourceType.NODE, None, "gpu-0", "uid", self.version)
        return (
            ClusterReading(
                "gpu-0", ClusterHealth("gpu-0", Health.ACTIVE, moment), 1, moment, moment, (node, *self.objects)
            ),
        )

    async def bodies(self, cluster: str, kind: ResourceType) -> Mapping[str, bytes]:
        if kind is not ResourceType.NODE:
            return {}
        self.reads += 1
        return {"None:gpu-0": orjson.dumps({"spec": {"unschedulable": self.unschedulable}, "status": {}})}


def test_the_cache_tells_of_a_cordon_as_soon_as_the_node_changed_and_reads_no_body_again_before() -> None:
    view = View()
    clusters = CachedClusters(view)  # type: ignore[arg-type]

    def closed() -> bool:
        (state,) = asyncio.run(clusters.read({"gpu-0": "s"}, 100.0))
        return state.node is NodeState.CLOSED

    assert not closed()
    reads = view.reads
    assert not closed()
    assert view.reads == reads
    view.version, view.unschedulable = "2", True
    assert closed()
    view.version, view.unschedulable = "3", False
    assert not closed()


@pytest.mark.parametrize(
    ("kind", "phase", "finished"),
    [
        (ResourceType.JOB, "Succeeded", True),
        (ResourceType.JOB, "Failed", True),
        (ResourceType.JOB, None, False),
        (ResourceType.POD, "Failed", True),
        (ResourceType.POD, "Running", False),
    ],
)
def test_a_copy_has_ended_when_its_job_or_pod_says_so(kind: ResourceType, phase: str | None, finished: bool) -> None:
    view = View()
    named = {labels.DEPLOYMENT_ID: "d1"}
    view.objects = (ObservedObject("gpu-0", kind, "chutes", "chute-d1", "u1", "1", named, phase=phase),)
    (state,) = asyncio.run(CachedClusters(view).read({"gpu-0": "s"}, 100.0))  # type: ignore[arg-type]
    assert [pod.finished for pod in state.pods] == [finished]
