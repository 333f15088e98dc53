"""Settings: what is valid, and that every mistake is told with the command that repairs it."""

from __future__ import annotations

import random
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.provider.options import REFRESH_HOSTS
from infra.settings import BareGpuNode, NodeState, SettingsError, TeeGpuNode, load
from infra.settings.load import validate
from infra.settings.programs import PUBLIC_VALIDATOR
from infra.settings.source import MappingSource, parsed
from tests.support.settings import HOST_KEY, SECRETS, config, fleet, gpu_node, lab_fleet, stack_file


def validator(**changes: str) -> dict[str, str]:
    return {"hotkey": PUBLIC_VALIDATOR, "api": "https://v.example", "socket": "wss://v.example"} | changes


def mistakes(values: dict[str, Any], secrets: dict[str, str] | None = None) -> dict[str, tuple[str, str]]:
    with pytest.raises(SettingsError) as caught:
        load(MappingSource(values, SECRETS if secrets is None else secrets))
    return {mistake.path: (mistake.wrong, mistake.command) for mistake in caught.value.mistakes}


def test_a_valid_fleet_is_a_frozen_tree_with_defaults() -> None:
    settings = config().settings
    assert settings.gpu_nodes[0].state is NodeState.ACTIVE
    assert settings.control.ssh.port == 22
    with pytest.raises(ValueError, match="frozen"):
        settings.miner.netuid = 1  # type: ignore[misc]


def test_a_node_without_a_kind_is_bare_and_a_tee_node_has_no_ssh() -> None:
    tee = {"name": "tee-0", "kind": "tee", "address": "9.0.0.13", "gpu": "h200", "gpu_count": 8, "hourly_cost_usd": 24}
    settings = config(gpu_nodes=[gpu_node("gpu-0", "9.0.0.11"), tee]).settings
    assert [type(node) for node in settings.gpu_nodes] == [BareGpuNode, TeeGpuNode]
    assert [node.name for node in settings.bare_nodes] == ["gpu-0"]
    found = mistakes(fleet(gpu_nodes=[tee | {"ssh": {"host_key": HOST_KEY}}]))
    assert found["gpu_nodes[0].ssh"] == ("there is no such key", "pulumi config rm --path 'gpu_nodes[0].ssh'")


def test_twenty_mistakes_are_twenty_messages() -> None:
    values = {
        "control": {"name": "UPPER", "address": "no"},
        "gpu_nodes": [
            gpu_node("gpu-0", "10.0.0.1", ram_gib=64),
            {"name": "gpu-1", "kind": "cloud"},
            gpu_node("gpu-0", "10.0.0.1", gpu="h1000", ssh={"port": 0, "host_key": "none"}, state="asleep"),
            gpu_node("localhost", "100.64.1.2", simulated_gpus=True, extra=1),
            gpu_node("gpu-4", "100.64.1.2", simulated_gpus=True),
        ],
        "typo": {},
    }
    found = mistakes(values, {})
    assert len(found) >= 20
    assert all(command.startswith("pulumi config ") for _, command in found.values())


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"gpu_nodes": [gpu_node("a", "9.0.0.1", ram_gib=639)]}, "gpu_nodes[0].ram_gib", "640 GiB"),
        ({"gpu_nodes": [gpu_node("a", "100.64.1.2")]}, "gpu_nodes[0].address", "not a public unicast"),
        ({"gpu_nodes": [gpu_node("a", "9.0.0.10")]}, "gpu_nodes[0].address", "also the address of control"),
        ({"gpu_nodes": [gpu_node("control", "9.0.0.1")]}, "gpu_nodes[0].name", "also the name of control"),
        ({"gpu_nodes": [gpu_node("a", "9.0.0.1", simulated_gpus=True)]}, "gpu_nodes[0].simulated_gpus", "simulated"),
        ({"gpu_nodes": [gpu_node("a", "9.0.0.1", gpu="h1000")]}, "gpu_nodes[0].ram_gib", "not known"),
        ({"kubernetes": {"version": "v1.33.4", "source": "https://x.example/k3s"}}, "kubernetes", "sha256"),
        ({"gpu_runtime": {"chart": "x", "repository": "https://x.example"}}, "gpu_runtime", "version"),
        ({"access": {"users": [{"name": "root", "present": False}]}}, "access.users[0].present", "is entered as root"),
        ({"validators": [validator(socket="ws://v.example")]}, "validators[0].socket", "not encrypted"),
        ({"validators": [validator(), validator(api="http://9.0.0.99")]}, "validators[1].api", "not encrypted"),
        ({"gpu_runtime": {"chart": "x", "repository": "https://x.example", "version": "1"}}, "gpu_runtime", "digest"),
    ],
)
def test_each_rule_stops_the_settings_and_names_the_place(changes: dict[str, Any], path: str, words: str) -> None:
    wrong, command = mistakes(fleet(**changes))[path]
    assert words in wrong
    assert shlex.split(command)[:4] in (["pulumi", "config", "set", "--path"], ["pulumi", "config", "rm", "--path"])


def test_a_validator_without_tls_is_refused_beside_other_mistakes_and_taken_in_an_allowed_network() -> None:
    plain = validator(api="http://198.18.0.1:8000", socket="ws://198.18.0.1:8000")
    found = mistakes(fleet(validators=[plain, {"hotkey": "no"}], typo={}))
    assert found["validators[0].socket"][1].endswith("wss://198.18.0.1:8000")
    assert "validators[0].api" in found
    loaded = config(validators=[plain], allowances={"networks": ["198.18.0.0/15"]})
    assert loaded.settings.validators[0].socket == plain["socket"]


def test_a_small_control_host_is_a_mistake_in_production_and_a_warning_where_it_is_allowed() -> None:
    small = fleet()["control"] | {"cores": 2, "ram_gib": 4}
    assert "control.ram_gib" in mistakes(fleet(control=small))
    loaded = config(control=small, allowances={"small_control_host": True})
    assert [finding.rule for finding in loaded.warnings] == ["control-host-size", "control-host-size"]


def test_one_typing_error_hides_no_broken_rule_of_another_machine() -> None:
    nodes = [gpu_node("a", "10.0.0.1"), {"name": "b"}]
    found = mistakes(fleet(gpu_nodes=nodes))
    assert "gpu_nodes[0].address" in found
    assert "gpu_nodes[1].ssh.host_key" in found


def test_a_missing_secret_a_plain_secret_and_a_secret_tree_are_refused() -> None:
    assert "missing" in mistakes(fleet(), {})["ssh_private_key"][0]
    assert "in plain" in mistakes(fleet() | {"ssh_private_key": "k"}, {})["ssh_private_key"][0]
    values = fleet()
    del values["miner"]
    assert mistakes(values, {**SECRETS, "miner": "{}"}) == {
        "miner": ("only flat secret keys may hold secrets", "pulumi config rm --path miner")
    }


def test_a_registry_login_needs_its_password() -> None:
    kubernetes = fleet()["kubernetes"] | {"registry_login": {"registry": "docker.io", "username": "me"}}
    assert "registry_password" in mistakes(fleet(kubernetes=kubernetes))
    loaded = load(MappingSource(fleet(kubernetes=kubernetes), {**SECRETS, "registry_password": "marker"}))
    assert loaded.settings.kubernetes.registry_login is not None


def test_no_message_quotes_a_value_of_a_secret() -> None:
    with pytest.raises(SettingsError) as caught:
        load(MappingSource(fleet(miner={}) | {"ssh_private_key": "marker-in-plain"}, {}))
    assert "marker-in-plain" not in str(caught.value)


def test_the_lab_file_is_valid_once_the_machines_exist() -> None:
    loaded = load(MappingSource(lab_fleet(), SECRETS))
    assert all(isinstance(node, BareGpuNode) and node.simulated_gpus for node in loaded.settings.gpu_nodes)
    assert {finding.rule for finding in loaded.warnings} == {"control-host-size"}


def test_the_example_file_only_lacks_real_addresses() -> None:
    assert {mistake.path for mistake in validate(stack_file("example"))} == {
        "control.address",
        "gpu_nodes[0].address",
        "gpu_nodes[1].address",
    }


@given(st.randoms(use_true_random=False))
def test_the_order_of_nodes_means_nothing(rng: random.Random) -> None:
    nodes = [gpu_node(f"gpu-{index}", f"9.0.1.{index}") for index in range(5)]
    rng.shuffle(nodes)
    assert [node.name for node in config(gpu_nodes=nodes).settings.bare_nodes] == [f"gpu-{i}" for i in range(5)]


@pytest.mark.parametrize(
    ("text", "value"), [(None, None), ("5", "5"), ("x", "x"), ('{"a": 1}', {"a": 1}), ("[1]", [1]), ("{", "{")]
)
def test_only_structured_values_are_parsed(text: str | None, value: object) -> None:
    assert parsed(text) == value


def test_the_providers_own_switch_is_a_setting_like_any_other() -> None:
    assert not config(**{REFRESH_HOSTS: "false"}).settings.refresh_hosts
