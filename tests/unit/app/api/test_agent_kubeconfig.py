"""A kubeconfig that came over plain HTTP is believed of the machine that handed it out, and of no other."""

from __future__ import annotations

import asyncio

import pytest

from app.api.agent_kubeconfig import must_name_its_machine
from app.api.kubeconfig import Cluster, ClusterFields, Kubeconfig, KubeconfigError


def judged(agent_url: str, *servers: str) -> None:
    clusters = tuple(Cluster(name=server, cluster=ClusterFields(server=server)) for server in servers)
    asyncio.run(must_name_its_machine(Kubeconfig(clusters=clusters), agent_url))


@pytest.mark.parametrize(
    ("agent_url", "server"),
    [
        ("http://203.0.113.7:32000", "https://203.0.113.7:6443"),
        ("http://localhost:32000", "https://127.0.0.1:6443"),
        ("http://127.0.0.1:32000", "https://localhost:6443"),
        ("http://127.126.0.11:32000", "https://127.0.0.1:6443"),
    ],
)
def test_the_machine_itself_is_taken_by_name_or_address(agent_url: str, server: str) -> None:
    judged(agent_url, server)


@pytest.mark.parametrize("server", ["https://198.51.100.9:6443", "https://nobody.invalid:6443", "203.0.113.7", ""])
def test_any_other_is_refused_with_both_hosts_and_the_cure(server: str) -> None:
    with pytest.raises(KubeconfigError, match=r"points to .* and the agent is at 203\.0\.113\.7: correct `server`"):
        judged("http://203.0.113.7:32000", "https://203.0.113.7:6443", server)
