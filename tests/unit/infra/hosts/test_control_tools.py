"""Operators' tools: one kubeconfig of all clusters, and nothing else of the machine is touched."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.protocol.signing import Signer
from infra.hosts.deploys.control_tools import CLI_ENTRY, KUBECONFIG, merged_kubeconfig
from infra.spec import ClusterAccess, HostScope, Verb
from infra.spec.kubeconfig import public_kubeconfig
from tests.support.fake_host import run_fake
from tests.support.settings import CLONE
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
    assert len(run.plan.operations) == 5
    assert "marker-key" not in "\n".join(run.commands)


def test_the_miners_commands_get_the_hotkey_of_their_pod_and_no_file_is_left(tmp_path: Path) -> None:
    """Nothing listens at the address: to be refused there, the command must have signed with the key."""
    seed = "17" * 32
    environment = {**os.environ, "MINER_SS58": Signer.from_seed(seed).ss58, "MINER_SEED": seed, "HOME": str(tmp_path)}
    environment |= {"MINER_API": "http://127.0.0.1:9", "PYTHONPATH": str(CLONE)}
    done = subprocess.run(
        [sys.executable, "-c", CLI_ENTRY, "lock", "--name", "gpu-0"], env=environment, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "127.0.0.1:9/servers/gpu-0/lock" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_leaving_removes_the_credentials() -> None:
    run = run_fake(Verb.STOP, host_spec(scope=HostScope.TOOLS), {"then echo yes": "yes"})
    assert f"rm -f {KUBECONFIG}" in run.commands
