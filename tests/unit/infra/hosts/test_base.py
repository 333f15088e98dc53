"""The base deploy: what it looks at, what it would do, and that a machine that is as wanted gets no command."""

from __future__ import annotations

import hashlib

from syrupy.assertion import SnapshotAssertion

from infra.hosts.operations.services import digest_of
from infra.spec import BaseSpec, ExitCode, FileSpec, ServiceSpec, TimeSpec, Verb
from tests.support.fake_host import run_fake
from tests.support.specs import host_spec

BASE = BaseSpec(
    packages=("jq", "curl=8.1"),
    absent_packages=("telnet",),
    files=(FileSpec(path="/etc/motd", content="hello"),),
    services=(ServiceSpec(name="ssh"), ServiceSpec(name="nginx", running=False, enabled=False)),
    time=TimeSpec(timezone="UTC", ntp_servers=("pool.ntp.org",)),
    unattended_upgrades_off=True,
)
MOTD = hashlib.sha256(b"hello\n").hexdigest()
SETTINGS = "[Time]\nNTP=pool.ntp.org\n"
TIME = hashlib.sha256(SETTINGS.encode()).hexdigest()
CONVERGED = {
    "is-enabled unattended-upgrades": "yes",
    "is-enabled apt-daily": "yes",
    "dpkg-query": "ii |jq|1.6\nii |curl|8.1\nii |systemd-timesyncd|252",
    "readlink -f /etc/localtime": "yes",
    "sha256sum < /etc/motd": f"{MOTD}  -\n644 root root",
    "sha256sum < /etc/systemd/timesyncd": f"{TIME}  -\n644 root root",
    "stamps/systemd-timesyncd": f"{digest_of(SETTINGS)}\nactive\nenabled",
    "is-active ssh": "active\nenabled",
    "is-active nginx": "inactive\ndisabled",
}


def test_commands_on_a_bare_machine_are_these(snapshot: SnapshotAssertion) -> None:
    run = run_fake(
        Verb.APPLY, host_spec(base=BASE), {"is-active nginx": "active\nenabled", "dpkg-query -W": "ii |telnet|1"}
    )
    assert run.error is None
    looks = (
        "dpkg-query",
        "is-active",
        "sha256sum",
        "is-enabled",
        "zoneinfo",
        "say ",
        "command -v",
        "timedatectl status",
    )
    assert [command for command in run.commands if not any(look in command for look in looks)] == snapshot


def test_a_machine_that_is_as_wanted_gets_no_command() -> None:
    run = run_fake(Verb.PLAN, host_spec(base=BASE), CONVERGED)
    assert run.plan.changes == ()


def test_drift_is_named_by_operation() -> None:
    drifted = {**CONVERGED, "sha256sum < /etc/motd": f"{TIME}  -\n644 root root", "is-active ssh": "failed\nenabled"}
    run = run_fake(Verb.PLAN, host_spec(base=BASE), drifted)
    assert run.plan.changes == ("base | file /etc/motd", "base | service ssh")


def test_a_pinned_package_in_another_version_is_drift() -> None:
    drifted = {**CONVERGED, "dpkg-query": "ii |jq|1.6\nii |curl|7.0\nii |systemd-timesyncd|252"}
    assert run_fake(Verb.PLAN, host_spec(base=BASE), drifted).plan.changes == ("base | packages",)


def test_a_package_that_is_only_configured_is_not_installed() -> None:
    drifted = {**CONVERGED, "dpkg-query": "rc |jq|1.6\nii |curl|8.1\nii |systemd-timesyncd|252"}
    assert run_fake(Verb.PLAN, host_spec(base=BASE), drifted).plan.changes == ("base | packages",)


def test_a_repaired_file_restarts_the_unit_that_reads_it() -> None:
    drifted = {**CONVERGED, "sha256sum < /etc/systemd/timesyncd": f"{MOTD}  -\n644 root root"}
    changes = run_fake(Verb.PLAN, host_spec(base=BASE), drifted).plan.changes
    assert changes == ("base | time servers", "base | time synchronisation runs")


def test_a_failing_operation_is_named_with_what_the_machine_said() -> None:
    failing = {**CONVERGED, "dpkg-query": "", "apt-get -y -q -o DPkg": {"success": False, "stderr": "E: no space left"}}
    run = run_fake(Verb.APPLY, host_spec(base=BASE), failing)
    assert run.error is not None
    assert run.error.operation == "base | packages"
    assert "no space left" in run.error.message


def test_an_unknown_system_is_not_touched() -> None:
    run = run_fake(Verb.APPLY, host_spec(base=BASE), {"say machine_id": "os_id=arch\narchitecture=x86_64"})
    assert run.error is not None
    assert "wanted one of debian, ubuntu" in run.error.message
    assert len(run.commands) == 1


def test_a_user_without_sudo_is_told_what_to_write() -> None:
    run = run_fake(Verb.PLAN, host_spec(user="ubuntu"), {"sudo -n true": "no"})
    assert run.error is not None
    assert "/etc/sudoers.d/ubuntu" in run.error.message


def test_exit_codes_are_as_documented() -> None:
    assert [code.value for code in ExitCode] == [0, 2, 3, 4, 5]
