"""The echo of a control host as another booted machine hears it."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from infra.spec import EchoSpec, FactsEvent, HostFacts, HostRole, HostSpec, Verb
from tests.support.lab_machine import Machine

pytestmark = pytest.mark.host


def facts(machine: Machine, spec: HostSpec) -> HostFacts:
    status, events = machine.run(Verb.FACTS, spec)
    assert status == 0, events[-1]
    return next(event.facts for event in events if isinstance(event, FactsEvent))


def test_a_machine_learns_from_the_control_host_by_which_address_it_leaves(machine: Machine, other: Machine) -> None:
    echo = EchoSpec(host=machine.address, port=6450)
    control = machine.spec(role=HostRole.CONTROL, echo=echo)
    asking = other.spec(role=HostRole.GPU, echo=echo)
    assert facts(other, asking).egress_addresses == ()
    machine.apply(control)
    assert machine.plan(control) == ()
    assert facts(other, asking).egress_addresses == (other.address,)
    second, here = str(IPv4Address(other.address) + 100), f"{machine.address}/32 dev host0"
    other.ssh(f"ip addr add {second}/24 dev host0; ip route replace {here} src {second}")
    assert facts(other, asking).egress_addresses == (second,)
    other.ssh(f"ip route del {here}; ip addr del {second}/24 dev host0")
    assert facts(other, asking).egress_addresses == (other.address,)
    machine.ssh("systemctl stop headframe-echo.socket")
    assert machine.plan(control) == ("echo | echo answers",)
    machine.ssh("cd /etc/systemd/system && rm headframe-echo@.service && echo '# edited' >> headframe-echo.socket")
    drift = ("echo | answer", "echo | socket", "echo | echo answers")
    assert machine.plan(control) == drift
    assert machine.apply(control) == drift
    assert facts(other, asking).egress_addresses == (other.address,)
    assert machine.run(Verb.STOP, control)[0] == 0
    assert machine.ssh("ss -Hltn 'sport = :6450' | wc -l") == "0"


def test_a_machine_tells_what_will_hold_its_cache(other: Machine) -> None:
    seen = facts(other, other.spec(role=HostRole.GPU))
    assert seen.var_snap_filesystem == "overlay"
    assert seen.var_snap_persistent is True
    assert seen.var_snap_gib is not None
