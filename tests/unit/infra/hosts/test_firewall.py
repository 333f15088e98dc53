"""The port map as nftables text, and the order of the commands that make a lock-out undo itself."""

from __future__ import annotations

import hashlib
import re
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyinfra.api.exceptions import ConnectError
from pyinfra.connectors.fake import FakeConnector
from syrupy.assertion import SnapshotAssertion

from app.protocol.ports import HostPort, NodePort
from infra.hosts.deploys.firewall_rules import openings, ruleset
from infra.hosts.operations.firewall import UNIT
from infra.spec import FirewallSpec, HostRole, Verb
from tests.support.fake_host import run_fake
from tests.support.specs import host_spec

FIREWALL = FirewallSpec(
    operator_networks=(IPv4Network("192.0.2.0/24"),),
    control_networks=(IPv4Network("198.51.100.1/32"),),
    worker_networks=(IPv4Network("203.0.113.7/32"),),
)


def ports_for_the_world(role: HostRole) -> list[int]:
    """Every port that anybody reaches."""
    ranges = [port for opening in openings(role, FIREWALL, 22) if opening.networks is None for port in opening.ports]
    bounds = [(int(text.partition("-")[0]), int(text.rpartition("-")[2])) for text in ranges]
    return [port for first, last in bounds for port in range(first, last + 1)]


@pytest.mark.parametrize("role", list(HostRole))
def test_the_rules_are_these(role: HostRole, snapshot: SnapshotAssertion) -> None:
    assert ruleset(role, FIREWALL, 2222) == snapshot


def test_the_world_reaches_chutes_and_no_service_of_ours() -> None:
    world = ports_for_the_world(HostRole.GPU)
    ours = {NodePort.AGENT, NodePort.WORKER_PROMETHEUS, NodePort.REGISTRY_PROXY, HostPort.KUBERNETES_API, HostPort.SSH}
    assert {30000, 30443, 32767} <= set(world)
    assert ours.isdisjoint(world)
    assert len(world) == 2768 - 3


def test_the_world_reaches_of_the_control_host_only_what_tells_it_its_own_address() -> None:
    assert ports_for_the_world(HostRole.CONTROL) == [HostPort.ECHO]


def test_the_port_of_ssh_is_the_one_that_we_use() -> None:
    assert "tcp dport { 2222 }" in ruleset(HostRole.GPU, FIREWALL, 2222)


@given(st.lists(st.integers(0, 2**32 - 1).map(lambda number: IPv4Network((number, 24), strict=False)), max_size=6))
def test_networks_of_a_rule_never_overlap(networks: list[IPv4Network]) -> None:
    text = ruleset(HostRole.CONTROL, FirewallSpec(operator_networks=tuple(networks)), 22)
    for sources in re.findall(r"ip saddr \{ ([^}]*) \}", text):
        parsed = [IPv4Network(source) for source in sources.split(", ")]
        assert not any(one.overlaps(two) for one in parsed for two in parsed if one is not two)


def test_the_rollback_is_armed_before_the_rules_and_disarmed_after_a_fresh_connection() -> None:
    run = run_fake(Verb.APPLY, host_spec(firewall=FIREWALL), {"dpkg-query": "ii |nftables|1", "then echo yes": "no"})
    assert run.error is None
    commands = "\n".join(run.commands)
    marks = [
        "nft -c -f",
        "systemd-run --quiet --on-active=60",
        "nft -f /var/lib",
        "systemctl stop headframe",
        "install -D",
    ]
    places = [commands.rindex(mark) for mark in marks]
    assert places == sorted(places)


def test_without_a_firewall_ours_is_taken_away() -> None:
    run = run_fake(Verb.PLAN, host_spec(), {"nft list table inet headframe": "yes"})
    assert run.plan.changes == ("firewall | none of ours",)


def test_taking_ours_away_leaves_no_rule_and_no_file() -> None:
    run = run_fake(Verb.APPLY, host_spec(), {"nft list table inet headframe": "yes"})
    assert run.error is None
    assert "nft delete table inet headframe" in "\n".join(run.commands)
    assert run.commands[-1].startswith("rm -f /etc/headframe/firewall.nft")


def test_other_firewalls_are_turned_off_once_ours_is_confirmed() -> None:
    answers = {"for unit in ufw": "ufw\nfirewalld", "dpkg-query": "ii |nftables|1", "then echo yes": "no"}
    run = run_fake(Verb.APPLY, host_spec(firewall=FIREWALL), answers)
    assert run.error is None
    commands = "\n".join(run.commands)
    marks = ["nft -f /var/lib", "install -D", "ufw --force disable", "disable --now ufw", "disable --now firewalld"]
    places = [commands.rindex(mark) for mark in marks]
    assert places == sorted(places)


def test_rules_that_let_no_new_connection_in_are_refused_and_never_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[FakeConnector] = []

    def connect(self: FakeConnector) -> None:
        connected.append(self)
        if len(connected) > 1:
            raise ConnectError("timed out")

    monkeypatch.setattr(FakeConnector, "connect", connect)
    answers = {"for unit in ufw": "ufw", "dpkg-query": "ii |nftables|1", "then echo yes": "no"}
    run = run_fake(Verb.APPLY, host_spec(firewall=FIREWALL), answers)
    assert run.error is not None
    assert run.error.operation == "firewall | port map"
    assert not any("install -D" in command for command in run.commands)
    assert not any("ufw --force disable" in command for command in run.commands), "the machine keeps the one it had"


def test_at_boot_the_systems_own_tables_are_laid_before_ours() -> None:
    """Debian's nftables.service flushes every table when it starts."""
    assert "After=nftables.service" in UNIT


@pytest.mark.parametrize("unit", [UNIT, UNIT.replace("After=nftables.service\n", "")])
def test_a_unit_that_would_lay_the_rules_at_the_wrong_moment_is_drift(unit: str) -> None:
    rules = hashlib.sha256(ruleset(HostRole.GPU, FIREWALL, 22).encode()).hexdigest()
    seen = f"{rules} live\nlive\n{rules}  -\n{hashlib.sha256(unit.encode()).hexdigest()}  -"
    answers = {"stamps/firewall": seen, "dpkg-query": "ii |nftables|1", "then echo yes": "yes"}
    plan = run_fake(Verb.PLAN, host_spec(role=HostRole.GPU, firewall=FIREWALL), answers).plan
    assert ("firewall | port map" in plan.changes) is (unit != UNIT)
