"""The firewall on a booted machine: the port map gets through, nothing else does, and a lock-out undoes itself."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from infra.spec import FirewallSpec
from tests.support.lab_machine import Machine

pytestmark = pytest.mark.host
ELSEWHERE = ("192.0.2.0/24",)


def rules(machine: Machine, **changes: object) -> FirewallSpec:
    me = f"{machine.fleet.network}"
    return FirewallSpec.model_validate(
        {"operator_networks": (me,), "control_networks": ELSEWHERE, "rollback_seconds": 6, **changes}
    )


def reaches(machine: Machine, port: int) -> bool:
    """Whether a TCP connection from outside is answered, by a listener or by a refusal."""
    try:
        with socket.create_connection((machine.address, port), timeout=1.0):
            return True
    except ConnectionRefusedError:
        return True
    except OSError:
        return False


@pytest.fixture
def firewalled(other: Machine) -> Iterator[Machine]:
    """A machine whose firewall is gone again afterwards."""
    yield other
    other.apply(other.spec())
    assert other.ssh("nft list tables | grep headframe || echo none") == "none"


def test_only_what_the_port_map_names_gets_through(firewalled: Machine) -> None:
    spec = firewalled.spec(firewall=rules(firewalled))
    changed = firewalled.apply(spec)
    assert changed[-1] == "firewall | port map"
    assert firewalled.plan(spec) == ()
    assert [port for port in (22, 6443, 9100, 30000, 30090, 32000, 5432, 30500) if reaches(firewalled, port)] == [
        22,
        6443,
        30000,
        32000,
    ]


def test_a_node_port_that_kube_proxy_redirects_is_filtered_too(firewalled: Machine) -> None:
    firewalled.apply(firewalled.spec(firewall=rules(firewalled)))
    firewalled.ssh(
        "nft 'table ip test_dnat { chain pre { type nat hook prerouting priority dstnat; "
        "tcp dport { 30090, 30001 } dnat to 10.99.0.2:80; }; }'"
    )
    firewalled.ssh("nft 'table ip test_dnat { chain out { type filter hook forward priority 0; counter accept; }; }'")
    reaches(firewalled, 30090)
    assert "packets 0" in firewalled.ssh("nft list chain ip test_dnat out")
    reaches(firewalled, 30001)
    assert "packets 0" not in firewalled.ssh("nft list chain ip test_dnat out")
    firewalled.ssh("nft delete table ip test_dnat")


@pytest.mark.parametrize(
    "damage",
    [
        "nft add rule inet headframe reach tcp dport 1 accept",
        "nft delete table inet headframe",
        "rm /etc/headframe/firewall.nft",
        "systemctl disable -q headframe-firewall.service",
        "sed -i /nft/d /etc/systemd/system/headframe-firewall.service",
    ],
)
def test_drift_is_named_and_repaired(firewalled: Machine, damage: str) -> None:
    spec = firewalled.spec(firewall=rules(firewalled))
    firewalled.apply(spec)
    firewalled.ssh(damage)
    assert firewalled.plan(spec) == ("firewall | port map",)
    firewalled.apply(spec)
    assert firewalled.plan(spec) == ()


def test_another_firewall_that_somebody_started_is_turned_off(firewalled: Machine) -> None:
    spec = firewalled.spec(firewall=rules(firewalled))
    firewalled.apply(spec)
    unit = "[Service]\\nExecStart=/bin/sleep inf\\n[Install]\\nWantedBy=multi-user.target\\n"
    firewalled.ssh(f"printf '{unit}' > /etc/systemd/system/firewalld.service; systemctl enable -q --now firewalld")
    assert firewalled.plan(spec) == ("firewall | no other firewall",)
    assert firewalled.apply(spec) == ("firewall | no other firewall",)
    assert firewalled.ssh("systemctl is-active firewalld; systemctl is-enabled firewalld; true") == "inactive\ndisabled"


def test_a_firewall_that_was_uninstalled_comes_back_and_one_that_is_not_wanted_goes(firewalled: Machine) -> None:
    spec = firewalled.spec(firewall=rules(firewalled))
    firewalled.apply(spec)
    firewalled.ssh("apt-get -y -q purge nftables")
    assert firewalled.plan(spec)[0] == "firewall | nftables"
    firewalled.apply(spec)
    assert firewalled.plan(spec) == ()
    assert firewalled.plan(firewalled.spec()) == ("firewall | none of ours",)


def test_rules_that_shut_us_out_undo_themselves(firewalled: Machine) -> None:
    good = firewalled.spec(firewall=rules(firewalled))
    firewalled.apply(good)
    bad = firewalled.spec(firewall=rules(firewalled, operator_networks=ELSEWHERE), connect_timeout_seconds=3)
    assert firewalled.refusal(bad).operation == "firewall | port map"
    time.sleep(7)
    assert firewalled.plan(good)[-1:] == ("firewall | port map",)
    firewalled.apply(good)
