"""Name, kernel settings, limits and swap on a booted machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.spec import KernelSpec
from tests.support.lab_machine import Machine

pytestmark = pytest.mark.host
KERNEL = KernelSpec(
    sysctl={"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.rp_filter": "2"},
    modules=("overlay",),
    open_files=40000,
)


@pytest.fixture(scope="module")
def converged(machine: Machine) -> Machine:
    machine.apply(machine.spec(kernel=KERNEL, manage_hostname=True))
    return machine


def test_a_second_plan_is_empty_and_the_kernel_has_the_settings(converged: Machine) -> None:
    assert converged.plan(converged.spec(kernel=KERNEL, manage_hostname=True)) == ()
    assert converged.ssh("sysctl -n net.ipv4.ip_forward net.ipv4.conf.all.rp_filter; hostname") == "1\n2\none"


@pytest.mark.parametrize(
    ("damage", "operations"),
    [
        ("hostname other", ("system | hostname one",)),
        ("echo other > /etc/hostname", ("system | hostname one",)),
        ("sysctl -qw net.ipv4.conf.all.rp_filter=1", ("system | kernel settings now",)),
        ("rm /etc/sysctl.d/90-headframe.conf", ("system | kernel settings at boot",)),
        ("echo x >> /etc/security/limits.d/90-headframe.conf", ("system | open files of logins",)),
        ("rm /etc/modules-load.d/headframe.conf", ("system | modules at boot",)),
        ("chmod 600 /etc/cloud/cloud.cfg.d/99-headframe.cfg", ("system | cloud-init keeps the name",)),
        ("rm /etc/systemd/system.conf.d/90-headframe.conf", ("system | open files of services",)),
    ],
)
def test_drift_is_named_and_repaired(converged: Machine, damage: str, operations: tuple[str, ...]) -> None:
    converged.ssh(damage)
    spec = converged.spec(kernel=KERNEL, manage_hostname=True)
    assert converged.plan(spec) == operations
    assert converged.apply(spec) == operations
    assert converged.plan(spec) == ()


@pytest.mark.skipif(
    len(Path("/proc/swaps").read_text().splitlines()) > 1, reason="it would turn off this machine's swap"
)
def test_an_entry_of_fstab_cannot_bring_swap_back(converged: Machine) -> None:
    converged.ssh("printf '/swap.img none swap sw 0 0\\n' > /etc/fstab")
    spec = converged.spec(kernel=KernelSpec(swap_off=True))
    assert converged.apply(spec) == ("system | swap off",)
    assert converged.ssh("cat /etc/fstab; systemctl is-enabled swap.target || true") == (
        "# headframe: /swap.img none swap sw 0 0\nmasked"
    )
    assert converged.plan(spec) == ()
    converged.ssh("systemctl unmask swap.target")
    assert converged.plan(spec) == ("system | swap off",)
    converged.apply(spec)
    assert converged.plan(spec) == ()
