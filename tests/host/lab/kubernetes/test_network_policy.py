"""NetworkPolicy is enforced in the lab's Kubernetes: what a policy forbids gets no answer, what it allows does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lab.hosts.fleet import LabFleet
from tests.support.lab_kubernetes import BUSYBOX, HOST, apply, eventually, from_pod, kubectl, pod, ready, sleeper

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def server_url(cluster: LabFleet) -> str:
    serve = ["sh", "-c", "mkdir /w && echo guarded > /w/index.html && exec httpd -f -p 8080 -h /w"]
    apply(cluster, HOST, pod("guarded", BUSYBOX, serve), sleeper("friend"), sleeper("stranger"))
    ready(cluster, "guarded", "friend", "stranger")
    address = kubectl(cluster, "get pod guarded -o jsonpath='{.status.podIP}'")
    return f"http://{address}:8080/"


@pytest.fixture
def clean(cluster: LabFleet) -> Iterator[None]:
    yield
    kubectl(cluster, "delete networkpolicy --all")


def policy(app: str, **spec: Any) -> dict[str, Any]:
    body = {"podSelector": {"matchLabels": {"app": app}}, **spec}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"for-{app}"},
        "spec": body,
    }


def test_only_the_pods_that_a_policy_names_get_in(cluster: LabFleet, server_url: str, clean: None) -> None:
    assert from_pod(cluster, "stranger", server_url) == "guarded"
    friends = [{"podSelector": {"matchLabels": {"app": "friend"}}}]
    apply(cluster, HOST, policy("guarded", ingress=[{"from": friends, "ports": [{"port": 8080}]}]))
    assert eventually(lambda: from_pod(cluster, "stranger", server_url) == "")
    assert from_pod(cluster, "friend", server_url) == "guarded"
    kubectl(cluster, "delete networkpolicy for-guarded")
    assert eventually(lambda: from_pod(cluster, "stranger", server_url) == "guarded")


def test_a_pod_that_may_send_nothing_gets_no_answer_from_pods_nor_from_its_node(
    cluster: LabFleet, server_url: str, clean: None
) -> None:
    api = f"https://{cluster.hosts[0].address}:6443/ -k"
    assert from_pod(cluster, "stranger", api) != ""
    apply(cluster, HOST, policy("stranger", policyTypes=["Egress"]))
    assert eventually(lambda: from_pod(cluster, "stranger", server_url) == "")
    assert from_pod(cluster, "stranger", api) == ""
    assert from_pod(cluster, "friend", server_url) == "guarded"
