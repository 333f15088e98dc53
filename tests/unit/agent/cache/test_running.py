"""Which chutes run, by the node's API server: all of them, or an error (spec: agent-monitor 20.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from agent.cache.running import RunningUnknownError, ask_running, running_chutes
from app.protocol.kubernetes_reads import ClusterReadError
from app.protocol.labels import CHUTE, CHUTE_ID
from tests.support.kubernetes_objects import pod

Json = dict[str, Any]


def labelled(name: str, labels: dict[str, str]) -> Json:
    body = pod(name)
    body["metadata"]["labels"] = labels
    return body


def of_chute(name: str, phase: str = "Running") -> Json:
    return labelled(name, {CHUTE: "true", CHUTE_ID: f"chute-{name}"}) | {"status": {"phase": phase}}


def answering(items: list[Json], status: int = 200) -> httpx.AsyncClient:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/v1/namespaces/chutes/pods"
        return httpx.Response(status, json={"metadata": {"resourceVersion": "7"}, "items": items})

    return httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://test.invalid")


async def test_x12_every_pod_of_a_chute_that_has_not_ended_counts() -> None:
    over = [of_chute("done", "Succeeded"), of_chute("broken", "Failed")]
    living = [of_chute(name, name) for name in ("Pending", "Running", "Unknown")]
    ending = of_chute("ending")
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    silent = of_chute("silent")
    del silent["status"]["phase"]
    ours = labelled("agent", {"app.kubernetes.io/name": "agent"})
    found = await running_chutes(answering([*over, *living, ending, silent, ours]), "chutes")
    assert found == {f"chute-{name}" for name in ("Pending", "Running", "Unknown", "ending", "silent")}


async def test_x12_a_node_without_pods_runs_no_chute() -> None:
    assert await running_chutes(answering([]), "chutes") == frozenset()


def without_its_id() -> Json:
    return labelled("nobody", {CHUTE: "true"})


def without_a_name() -> Json:
    body = of_chute("x")
    del body["metadata"]["name"]
    return body


@pytest.mark.parametrize("make", [without_its_id, without_a_name])
async def test_x12_a_pod_of_which_nobody_can_say_whose_it_is_makes_the_whole_list_unknown(
    make: Callable[[], Json],
) -> None:
    with pytest.raises(ClusterReadError):
        await running_chutes(answering([of_chute("a"), make()]), "chutes")


@pytest.mark.parametrize("status", [401, 403, 500, 503])
async def test_x12_an_answer_that_is_no_list_is_an_error(status: int) -> None:
    with pytest.raises(ClusterReadError, match=str(status)):
        await running_chutes(answering([], status), "chutes")


def test_x12_without_a_cluster_nothing_is_known() -> None:
    with pytest.raises(RunningUnknownError, match="this is no pod"):
        ask_running({}, "chutes")
    with pytest.raises(RunningUnknownError):
        ask_running({"KUBECONFIG": "/nowhere/kubeconfig"}, "chutes")
