"""Rules over declared machines: tables, and the properties that hold for every machine."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.gpus import GPU_MODELS
from policies.rules import declared
from policies.rules.declared import Allowances, DeclaredNode, Role
from policies.rules.model import Level

NODE = DeclaredNode(
    name="gpu-0", role=Role.GPU, address="9.0.0.1", gpu="h100", gpu_count=8, ram_gib=640, hotkey_ss58="a", host_key="k"
)
#: Written from the registry of special-purpose addresses (RFC 6890 and later), not from the code under test.
NOT_PUBLIC = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
]


def changed(**changes: object) -> DeclaredNode:
    return DeclaredNode(**{**NODE.__dict__, **changes})


def names(node: DeclaredNode, allowances: Allowances | None = None) -> list[str]:
    return [finding.rule for finding in declared.check_node(node, allowances or Allowances())]


def test_a_good_machine_breaks_no_rule() -> None:
    assert names(NODE) == []


@pytest.mark.parametrize(
    ("node", "rule"),
    [
        (changed(ram_gib=639), "gpu-ram-covers-vram"),
        (changed(gpu="h1000"), "gpu-ram-covers-vram"),
        (changed(address="100.64.1.2"), "ip-public"),
        (changed(address="gpu.example.net"), "ip-public"),
        (changed(name="Bad"), "node-name"),
        (changed(name=""), "node-name"),
        (changed(name="localhost"), "node-name"),
        (changed(host_key=""), "ssh-host-key"),
        (changed(simulated_gpus=True), "simulated-gpus"),
        (changed(role=Role.CONTROL, cores=3), "control-host-size"),
        (changed(role=Role.CONTROL, ram_gib=31), "control-host-size"),
    ],
)
def test_each_rule_fails_alone(node: DeclaredNode, rule: str) -> None:
    assert names(node) == [rule]


def test_what_a_preview_cannot_know_is_not_judged() -> None:
    unknown = DeclaredNode(name="gpu-0", role=Role.GPU)
    assert names(unknown) == []
    assert names(DeclaredNode(name="control", role=Role.CONTROL)) == []


def test_allowances_permit_only_what_they_name() -> None:
    lab = changed(address="198.18.0.12", simulated_gpus=True, ram_gib=4)
    assert names(lab) == ["ip-public", "simulated-gpus"]
    assert names(lab, Allowances(networks=(IPv4Network("198.18.0.0/15"),), simulated_gpus=True)) == []


@pytest.mark.parametrize(
    ("address", "is_refused"),
    [
        ("wss://v.example", False),
        ("https://9.0.0.1:8443", False),
        ("ws://v.example", True),
        ("http://9.0.0.1", True),
        ("ws://127.0.0.1:1", True),
        ("ws://198.18.0.1:8000", False),
    ],
)
def test_a_validator_is_reached_by_tls_or_in_an_allowed_network(address: str, is_refused: bool) -> None:
    control = DeclaredNode(name="control", role=Role.CONTROL, address="9.0.0.9", validators=(address,))
    allowed = Allowances(networks=(IPv4Network("198.18.0.0/15"),))
    assert names(control, allowed) == (["validator-tls"] if is_refused else [])


def test_a_small_control_host_is_only_a_warning_where_it_is_allowed() -> None:
    small = changed(role=Role.CONTROL, cores=1, ram_gib=1, gpu=None)
    levels = [finding.level for finding in declared.check_node(small, Allowances(small_control_host=True))]
    assert levels == [Level.ADVISORY, Level.ADVISORY]


def test_the_message_names_machine_figures_fix_and_rule() -> None:
    (finding,) = declared.ram_covers_vram(changed(ram_gib=512))
    assert str(finding) == (
        "gpu-0: 512 GiB of RAM for 8 x h100 with 640 GiB together; "
        "fit at least 640 GiB of RAM, or declare fewer GPUs [gpu-ram-covers-vram]"
    )


@given(st.sampled_from(sorted(GPU_MODELS)), st.integers(1, 16), st.integers(1, 4096), st.integers(0, 4096))
def test_more_ram_never_breaks_the_ram_rule(gpu: str, count: int, ram: int, more: int) -> None:
    if not list(declared.ram_covers_vram(changed(gpu=gpu, gpu_count=count, ram_gib=ram))):
        assert not list(declared.ram_covers_vram(changed(gpu=gpu, gpu_count=count, ram_gib=ram + more)))


@given(st.integers(0, 2**32 - 1))
def test_the_address_rule_agrees_with_the_registry_of_special_networks(number: int) -> None:
    address = IPv4Address(number)
    special = any(address in IPv4Network(network) for network in NOT_PUBLIC)
    exceptions = address in IPv4Network("192.0.0.0/24")
    refused = bool(list(declared.ip_public(changed(address=str(address)))))
    assert refused == (special or exceptions)


@pytest.mark.parametrize("network", NOT_PUBLIC)
def test_every_special_network_is_refused(network: str) -> None:
    assert list(declared.ip_public(changed(address=str(IPv4Network(network)[1]))))


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_address_findings_do_not_depend_on_the_order(last: list[int]) -> None:
    nodes = [changed(name=f"n{index}", address=f"9.0.0.{value}") for index, value in enumerate(last)]
    assert len(list(declared.ip_unique(nodes))) == len(list(declared.ip_unique(reversed(nodes))))
    assert len(list(declared.ip_unique(nodes))) == len(last) - len(set(last))


def test_a_second_or_missing_hotkey_is_found() -> None:
    nodes = [NODE, changed(name="b", hotkey_ss58="other"), changed(name="c", hotkey_ss58=""), changed(name="d")]
    assert [finding.subject for finding in declared.check_fleet(nodes) if finding.rule == "hotkey-single"] == ["b", "c"]
    assert not list(declared.hotkey_single([changed(hotkey_ss58=None)]))
    assert not list(declared.ip_unique([changed(address="nonsense"), changed(address=None)]))
