"""Kubernetes Events about Gepetto, against a real API server (spec: gepetto 24.7 C)."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from app.gepetto.kubernetes.notices import Notices, own_cluster
from app.protocol.cluster_access import ClusterAccess, open_client, parse_kubeconfig
from lab.kubernetes.apiserver import LocalApiServer
from tests.support.agents import own_cluster as own_namespace
from tests.support.agents import portable_kubeconfig

pytestmark = pytest.mark.service


async def test_a_fallback_is_an_event_on_the_deployment_once_a_minute(api_server: LocalApiServer) -> None:
    async with own_namespace(api_server) as cluster:
        notices = Notices(open_client(parse_kubeconfig(portable_kubeconfig(api_server, "own"))), cluster.namespace)
        notices.warn("StrategyFallback", "gepetto.py: syntax: line 1")
        notices.warn("StrategyFallback", "again")
        await notices.close()
        (event,) = (await cluster.http.get(f"/api/v1/namespaces/{cluster.namespace}/events")).json()["items"]
    assert (event["type"], event["reason"]) == ("Warning", "StrategyFallback")
    assert event["message"] == "gepetto.py: syntax: line 1"
    assert event["involvedObject"]["kind"] == "Deployment"
    assert event["involvedObject"]["name"] == "gepetto"


async def test_what_cannot_be_written_stops_nothing_and_is_told_in_the_log(api_server: LocalApiServer) -> None:
    told = []
    for server in (api_server.url, "https://127.0.0.1:1"):  # the first refuses a wrong token, the second is not there
        authority = api_server.ca_file.read_bytes()
        notices = Notices(open_client(ClusterAccess("x", server, authority, token="wrong")), "chutes")
        with capture_logs() as logs:
            notices.warn("StrategyFallback", "nobody hears it")
            await notices.close()
        told += [(entry["log_level"], entry["event"], entry.get("status")) for entry in logs]
    assert told == [
        ("warning", "a Kubernetes event was refused: its account needs create on events", 401),
        ("warning", "a Kubernetes event was not written", None),
    ]


async def test_without_a_cluster_a_notice_is_dropped_quietly() -> None:
    nowhere = Notices(None, "chutes")
    with capture_logs() as logs:
        nowhere.warn("StrategyFallback", "nobody hears it")
        await nowhere.close()
    assert logs == []
    assert nowhere.pending == 0


def test_outside_of_a_cluster_there_is_nobody_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert own_cluster() is None
