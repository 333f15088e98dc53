"""Operators' tools on a booted machine."""

from __future__ import annotations

import pytest

from infra.spec import ClusterAccess, HostScope, HostSpec, Verb
from infra.spec.kubeconfig import public_kubeconfig
from tests.support.lab_machine import Machine

pytestmark = pytest.mark.host
_K3S = "{clusters: [{cluster: {server: x}}], users: [{user: {}}]}"


def spec(machine: Machine, *names: str) -> HostSpec:
    clusters = [
        ClusterAccess.model_validate({"name": name, "kubeconfig": public_kubeconfig(_K3S, name, "203.0.113.7")})
        for name in names
    ]
    return machine.spec(scope=HostScope.TOOLS, clusters=tuple(clusters))


def test_tools_come_change_and_go(machine: Machine) -> None:
    wanted = spec(machine, "control", "gpu-1")
    machine.apply(wanted)
    assert machine.plan(wanted) == ()
    machine.ssh("rm /etc/profile.d/headframe.sh; echo >> /usr/local/bin/ktx; chmod 777 /usr/local/bin/chutes-miner")
    machine.ssh("ln -sf /bin/true /usr/local/bin/kns")
    drift = ("tools | kubeconfig in shells", "tools | ktx", "tools | kns", "tools | chutes-miner")
    assert machine.plan(wanted) == drift
    assert machine.apply(wanted) == drift
    assert machine.ssh(
        "stat -c '%a %U' /etc/headframe/kubeconfig; . /etc/profile.d/headframe.sh; echo $KUBECONFIG"
    ) == ("600 root\n/etc/headframe/kubeconfig")
    assert machine.apply(spec(machine, "control", "gpu-1", "gpu-2")) == ("tools | kubeconfig of all clusters",)
    assert machine.run(Verb.STOP, spec(machine))[0] == 0
    assert (
        machine.ssh(
            "ls /etc/headframe /usr/local/bin/ktx /usr/local/bin/kns /usr/local/bin/chutes-miner 2>/dev/null | wc -l"
        )
        == "1"
    )
