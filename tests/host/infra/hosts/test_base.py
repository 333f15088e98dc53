"""The base deploy on a booted machine: it holds, a second plan is empty, and each kind of drift is named."""

from __future__ import annotations

import pytest

from infra.spec import BaseSpec, FileSpec, ServiceSpec, TimeSpec
from tests.support.lab_machine import Machine

pytestmark = pytest.mark.host

BASE = BaseSpec(
    packages=("tree",),
    absent_packages=("nano",),
    files=(FileSpec(path="/etc/motd", content="wanted", mode="640"),),
    services=(ServiceSpec(name="cron"),),
    time=TimeSpec(timezone="UTC", ntp_servers=("192.0.2.1",)),
    unattended_upgrades_off=True,
)


@pytest.fixture(scope="module")
def converged(machine: Machine) -> Machine:
    """The machine with the base deploy applied. Containers keep their time daemon off; a rented server does not."""
    machine.ssh(
        "mkdir -p /etc/systemd/system/systemd-timesyncd.service.d && "
        "printf '[Unit]\\nConditionVirtualization=\\n' > /etc/systemd/system/systemd-timesyncd.service.d/lab.conf"
    )
    machine.apply(machine.spec(base=BASE))
    return machine


def test_a_second_plan_is_empty(converged: Machine) -> None:
    assert converged.plan(converged.spec(base=BASE)) == ()
    assert converged.ssh("cat /etc/motd; stat -c %a /etc/motd; readlink -f /etc/localtime") == (
        "wanted\n640\n/usr/share/zoneinfo/Etc/UTC"
    )
    assert converged.ssh("command -v tree; systemctl is-active cron") == "/usr/bin/tree\nactive"


@pytest.mark.parametrize(
    ("damage", "operations"),
    [
        ("apt-get -y -q purge tree", ("base | packages",)),
        ("apt-get -y -q install nano", ("base | packages absent",)),
        ("echo edited >> /etc/motd", ("base | file /etc/motd",)),
        ("chmod 600 /etc/motd", ("base | file /etc/motd",)),
        ("rm /etc/motd", ("base | file /etc/motd",)),
        ("chown nobody /etc/motd", ("base | file /etc/motd",)),
        ("systemctl stop cron", ("base | service cron",)),
        ("systemctl disable cron", ("base | service cron",)),
        ("systemctl unmask apt-daily.timer", ("base | masked apt-daily.timer",)),
        ("ln -sfn /usr/share/zoneinfo/Asia/Tokyo /etc/localtime", ("base | time zone UTC",)),
        (
            "echo NTP=x > /etc/systemd/timesyncd.conf.d/headframe.conf",
            ("base | time servers", "base | time synchronisation runs"),
        ),
        ("systemctl stop systemd-timesyncd", ("base | time synchronisation runs",)),
    ],
)
def test_drift_is_named_and_repaired(converged: Machine, damage: str, operations: tuple[str, ...]) -> None:
    converged.ssh(damage)
    spec = converged.spec(base=BASE)
    assert converged.plan(spec) == operations
    assert converged.apply(spec) == operations
    assert converged.plan(spec) == ()


def test_a_time_daemon_that_was_removed_comes_back(converged: Machine) -> None:
    converged.ssh("apt-get -y -q purge systemd-timesyncd")
    spec = converged.spec(base=BASE)
    assert converged.plan(spec) == ("base | time synchronisation", "base | time synchronisation runs")
    converged.apply(spec)
    assert converged.plan(spec) == ()
    assert converged.ssh("systemctl is-active systemd-timesyncd") == "active"


def test_a_held_apt_lock_is_waited_for(converged: Machine) -> None:
    converged.ssh("apt-get -y -q purge tree")
    converged.ssh(
        "systemd-run --unit hold-the-lock python3 -c "
        '\'import fcntl,time; f=open("/var/lib/dpkg/lock-frontend","w"); fcntl.lockf(f,fcntl.LOCK_EX); time.sleep(6)\''
    )
    assert converged.apply(converged.spec(base=BASE)) == ("base | packages",)


def test_an_unknown_package_is_a_clear_error(converged: Machine) -> None:
    spec = converged.spec(base=BaseSpec(packages=("headframe-no-such-package",)))
    assert "headframe-no-such-package" in converged.refusal(spec).message
