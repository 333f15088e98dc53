"""The lab's completed stack file."""

from __future__ import annotations

import copy

import pytest

from lab.fleet.engine import committed_stack
from lab.fleet.stack import Generated, StackFile, completed, lab_hosts

GENERATED = Generated(
    host_keys={name: f"ssh-ed25519 KEY-OF-{name}" for name in ("control", "gpu-0", "gpu-1")},
    kubernetes_version="v1.34.2+lab",
    kubernetes_source="file:///opt/k3s",
    hotkey_ss58="5Lab",
)


@pytest.fixture
def committed() -> StackFile:
    return committed_stack()


def test_every_machine_of_ours_becomes_a_host(committed: StackFile) -> None:
    hosts = lab_hosts(committed)
    assert [host.name for host in hosts] == ["control", "gpu-0", "gpu-1"]
    assert hosts[0].address == committed["config"]["headframe:control"]["address"]
    assert hosts[1].memory_mib == committed["config"]["headframe:gpu_nodes"][0]["ram_gib"] * 1024


def test_a_confidential_node_is_no_host_of_ours(committed: StackFile) -> None:
    committed["config"]["headframe:gpu_nodes"].append({"name": "tee-0", "kind": "tee", "address": "198.18.0.99"})
    assert "tee-0" not in {host.name for host in lab_hosts(committed)}


def test_what_the_machines_add_is_added(committed: StackFile) -> None:
    before = copy.deepcopy(committed)
    config = completed(committed, GENERATED, {})["config"]
    assert config["headframe:control"]["ssh"]["host_key"] == "ssh-ed25519 KEY-OF-control"
    assert config["headframe:gpu_nodes"][1]["ssh"]["host_key"] == "ssh-ed25519 KEY-OF-gpu-1"
    assert config["headframe:kubernetes"]["source"] == "file:///opt/k3s"
    assert config["headframe:miner"]["hotkey_ss58"] == "5Lab"
    assert committed == before


def test_secrets_and_salt_of_the_engine_stay(committed: StackFile) -> None:
    engines = {
        "encryptionsalt": "v1:salt",
        "config": {"headframe:ssh_private_key": {"secure": "v1:text"}, "headframe:control": {"name": "old"}},
    }
    result = completed(committed, GENERATED, engines)
    assert result["encryptionsalt"] == "v1:salt"
    assert result["config"]["headframe:ssh_private_key"] == {"secure": "v1:text"}
    assert result["config"]["headframe:control"]["name"] == "control"


def test_the_committed_file_holds_no_secret(committed: StackFile) -> None:
    assert "secure" not in str(committed)
    assert "encryptionsalt" not in committed
