"""Rules over measured machines and over the chain."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rules import observed
from policies.rules.catalogue import RULES
from policies.rules.declared import Allowances, Role
from policies.rules.model import Level
from policies.rules.observed import ObservedHost
from policies.rules.registration import ChainView, axon_silent, uid_single
from policies.rules.table import FILE, mandatory, rendered

HOST = ObservedHost(
    name="gpu-0", role=Role.GPU, address="9.0.0.1", kubernetes_version="v1.33.4+k3s1", os_id="ubuntu",
    os_version="22.04", kernel="5.15.0-91-generic", cgroup_version=2, cores=64, ram_mib=655360,
    gpu_memory_mib=(81559,) * 8, interface_addresses=("9.0.0.1",), egress_addresses=("9.0.0.1",) * 3,
    var_snap_gib=4000, var_snap_filesystem="ext4", var_snap_persistent=True,
)  # fmt: skip
CHAIN = ChainView(hotkey_ss58="5G", netuid=64, uids=(7,), axon_address="0.0.0.0")


def names(host: ObservedHost, allowances: Allowances | None = None) -> list[str]:
    return [finding.rule for finding in observed.check_host(host, allowances or Allowances())]


def test_a_good_machine_breaks_no_rule() -> None:
    assert names(HOST) == []


def test_what_was_not_observed_is_not_judged() -> None:
    assert names(ObservedHost(name="x", role=Role.GPU)) == []
    assert names(ObservedHost(name="x", role=Role.CONTROL)) == []


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        (replace(HOST, os_version="24.04"), "os-ubuntu-2204"),
        (replace(HOST, os_id="debian"), "os-ubuntu-2204"),
        (replace(HOST, kernel="4.15.0"), "kubernetes-fit"),
        (replace(HOST, cgroup_version=1, kubernetes_version="v1.35.0"), "kubernetes-fit"),
        (replace(HOST, ram_mib=512 * 1024), "gpu-ram-covers-vram"),
        (replace(HOST, var_snap_gib=1019), "storage-var-snap"),
        (replace(HOST, var_snap_filesystem="overlay"), "storage-var-snap"),
        (replace(HOST, var_snap_persistent=False), "storage-var-snap"),
        (replace(HOST, egress_addresses=("9.0.0.1", "9.0.0.2")), "ip-egress-is-ingress"),
        (replace(HOST, interface_addresses=("10.0.0.5",), egress_addresses=None), "ip-on-interface"),
        (replace(HOST, role=Role.CONTROL, cores=2), "control-host-size"),
        (replace(HOST, role=Role.CONTROL, ram_mib=30000, gpu_memory_mib=()), "control-host-size"),
    ],
)
def test_each_rule_fails_alone(host: ObservedHost, rule: str) -> None:
    assert names(host) == [rule]


def test_allowances_permit_only_what_they_name() -> None:
    lab = replace(HOST, os_id="debian", os_version="12", var_snap_gib=10, simulated_gpus=True, ram_mib=1024)
    assert names(lab) == ["os-ubuntu-2204", "storage-var-snap"]
    assert names(lab, Allowances(operating_systems=("debian 12",), var_snap_minimum_gib=1)) == []
    small = replace(HOST, role=Role.CONTROL, cores=1)
    (finding,) = observed.check_host(small, Allowances(small_control_host=True))
    assert finding.level is Level.ADVISORY


def test_one_to_one_nat_is_proven_by_probes() -> None:
    assert names(replace(HOST, interface_addresses=("10.0.0.5",))) == []


def test_cgroup_version_one_is_fit_below_kubernetes_one_thirty_five() -> None:
    assert names(replace(HOST, cgroup_version=1, kubernetes_version="v1.34.2-lab")) == []


@given(st.integers(1, 2**21), st.integers(0, 2**20))
def test_more_measured_ram_never_breaks_the_ram_rule(ram: int, more: int) -> None:
    if not list(observed.ram_covers_vram(replace(HOST, ram_mib=ram))):
        assert not list(observed.ram_covers_vram(replace(HOST, ram_mib=ram + more)))


@pytest.mark.parametrize(
    ("view", "levels"),
    [
        (CHAIN, []),
        (replace(CHAIN, uids=None), [Level.ADVISORY]),
        (replace(CHAIN, uids=()), [Level.MANDATORY]),
        (replace(CHAIN, uids=(1, 2)), [Level.MANDATORY]),
        (replace(CHAIN, other_uids=(9,)), [Level.MANDATORY]),
    ],
)
def test_the_hotkey_holds_one_uid(view: ChainView, levels: list[Level]) -> None:
    assert [finding.level for finding in uid_single(view)] == levels


def test_no_axon_is_announced() -> None:
    assert not list(axon_silent(CHAIN))
    assert [finding.rule for finding in axon_silent(replace(CHAIN, axon_address="9.0.0.1"))] == ["axon-silent"]


def test_the_table_of_rules_is_current() -> None:
    assert FILE.read_text() == rendered(), "run: .venv/bin/python -m policies.rules.table"
    assert set(mandatory()) < set(RULES)
    assert len(RULES) == 22
