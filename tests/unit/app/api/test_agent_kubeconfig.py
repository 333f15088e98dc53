"""A kubeconfig that came over plain HTTP is believed of the machine that handed it out, and of no other."""

from __future__ import annotations

import asyncio
import re

import pytest

from app.api.agent_kubeconfig import must_name_its_machine
from app.api.kubeconfig import Cluster, ClusterFields, Kubeconfig, KubeconfigError


def refusal(agent_url: str, *servers: str) -> str | None:
    """Why a kubeconfig with these API servers is refused; None where it is not."""
    clusters = tuple(Cluster(name=server, cluster=ClusterFields(server=server)) for server in servers)
    try:
        asyncio.run(must_name_its_machine(Kubeconfig(clusters=clusters), agent_url))
    except KubeconfigError as error:
        return str(error)
    return None


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
    assert refusal(agent_url, server) is None


@pytest.mark.parametrize("server", ["https://198.51.100.9:6443", "https://nobody.invalid:6443", "203.0.113.7", ""])
def test_any_other_is_refused_with_both_hosts_and_the_cure(server: str) -> None:
    said = refusal("http://203.0.113.7:32000", "https://203.0.113.7:6443", server)
    assert said is not None
    assert re.search(r"points to .* and the agent is at 203\.0\.113\.7: correct `server`", said)
