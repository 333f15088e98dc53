"""Operators' tools: one kubeconfig of all clusters, and nothing else of the machine is touched."""

from __future__ import annotations

import random

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.hosts.deploys.control_tools import KUBECONFIG, merged_kubeconfig
from infra.spec import ClusterAccess, HostScope, Verb
from infra.spec.kubeconfig import public_kubeconfig
from tests.support.fake_host import run_fake
from tests.support.specs import host_spec

_K3S = "{clusters: [{cluster: {server: x}}], users: [{user: {client-key-data: marker-key}}]}"


def access(name: str, text: str | None = None) -> ClusterAccess:
    kubeconfig = public_kubeconfig(_K3S, name, "203.0.113.7") if text is None else text
    return ClusterAccess.model_validate({"name": name, "kubeconfig": kubeconfig})


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.sampled_from(["control", "gpu-1", "gpu-2", "gpu-3"]), unique=True), st.randoms(use_true_random=False)
)
def test_every_cluster_has_a_context_of_its_name_in_any_order(names: list[str], order: random.Random) -> None:
    shuffled = list(names)
    order.shuffle(shuffled)
    text = merged_kubeconfig([access(name) for name in shuffled])
    assert text == merged_kubeconfig([access(name) for name in names])
    merged = yaml.safe_load(text)
    assert [item["name"] for item in merged["contexts"]] == sorted(names)
    assert all(item["context"] == {"cluster": item["name"], "user": item["name"]} for item in merged["contexts"])


def test_a_node_without_a_cluster_is_left_out() -> None:
    assert [item["name"] for item in yaml.safe_load(merged_kubeconfig([access("a"), access("b", "")]))["users"]] == [
        "a"
    ]


def test_the_scope_of_tools_touches_nothing_else() -> None:
    spec = host_spec(scope=HostScope.TOOLS, clusters=(access("gpu-1"),), manage_hostname=True)
    run = run_fake(Verb.APPLY, spec)
    assert run.error is None
    assert all(name.startswith("tools | ") for name in run.plan.changes)
    assert len(run.plan.operations) == 4
    assert "marker-key" not in "\n".join(run.commands)


def test_leaving_removes_the_credentials() -> None:
    run = run_fake(Verb.STOP, host_spec(scope=HostScope.TOOLS), {"then echo yes": "yes"})
    assert f"rm -f {KUBECONFIG}" in run.commands
