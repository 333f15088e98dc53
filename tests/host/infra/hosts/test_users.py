"""Accounts on a booted machine: listed keys open them, others are revoked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra.spec import UserSpec
from tests.support.lab_machine import Machine
from tests.support.specs import key_pair

pytestmark = pytest.mark.host
ALICE, BOB = key_pair("alice")[1], key_pair("bob")[1]


def admin(*keys: str, **changes: object) -> tuple[UserSpec, ...]:
    return (UserSpec.model_validate({"name": "ada", "authorized_keys": keys, "sudo": True, **changes}),)


def can_log_in(machine: Machine, folder: Path, key: str, command: str = "sudo -n id -u") -> str:
    """What the command printed for that key; "" where the machine did not let it in."""
    private = folder / key
    private.write_text(key_pair(key)[0])
    private.chmod(0o600)
    options = ["-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={machine.fleet.known_hosts}", "-o", "ConnectTimeout=5"]
    done = subprocess.run(
        ["ssh", "-q", "-F", "/dev/null", "-i", private, *options, f"ada@{machine.address}", command],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return done.stdout.strip()


def test_a_key_is_let_in_and_revoked_by_taking_it_from_the_list(machine: Machine, tmp_path: Path) -> None:
    machine.apply(machine.spec(users=admin(ALICE, BOB)))
    assert can_log_in(machine, tmp_path, "alice") == "0"
    assert machine.plan(machine.spec(users=admin(ALICE, BOB))) == ()
    assert machine.apply(machine.spec(users=admin(BOB))) == ("users | keys of ada",)
    assert can_log_in(machine, tmp_path, "alice") == ""
    assert can_log_in(machine, tmp_path, "bob") == "0"


def test_a_key_that_somebody_added_is_drift(machine: Machine) -> None:
    spec = machine.spec(users=admin(BOB))
    machine.apply(spec)
    machine.ssh(f"echo '{ALICE}' >> /home/ada/.ssh/authorized_keys")
    assert machine.plan(spec) == ("users | keys of ada",)
    machine.apply(spec)
    assert machine.plan(spec) == ()


@pytest.mark.parametrize(
    ("damage", "operations"),
    [
        ("chmod 777 /etc/sudoers.d/headframe-ada", ("users | sudo for ada",)),
        ("userdel -rf ada", ("users | account ada", "users | keys of ada")),
        ("chown root /home/ada", ("users | account ada",)),
        ("chmod 644 /home/ada/.ssh/authorized_keys", ("users | keys of ada",)),
    ],
)
def test_drift_is_named_and_repaired(
    machine: Machine, tmp_path: Path, damage: str, operations: tuple[str, ...]
) -> None:
    spec = machine.spec(users=admin(BOB))
    machine.apply(spec)
    machine.ssh(damage)
    assert machine.plan(spec) == operations
    assert machine.apply(spec) == operations
    assert machine.plan(spec) == ()
    assert can_log_in(machine, tmp_path, "bob") == "0"


def test_an_account_that_may_not_be_root_any_more(machine: Machine, tmp_path: Path) -> None:
    machine.apply(machine.spec(users=admin(BOB)))
    machine.apply(machine.spec(users=admin(BOB, sudo=False)))
    assert can_log_in(machine, tmp_path, "bob") == ""
    assert can_log_in(machine, tmp_path, "bob", "id -un") == "ada"
    machine.ssh("echo 'ada ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/headframe-ada")
    assert machine.plan(machine.spec(users=admin(BOB, sudo=False))) == ("users | no sudo for ada",)


def test_an_account_goes_and_its_home_stays_for_root(machine: Machine) -> None:
    gone = machine.spec(users=(UserSpec(name="ada", present=False),))
    machine.apply(machine.spec(users=admin(BOB)))
    machine.apply(gone)
    assert machine.ssh("getent passwd ada || echo none; stat -c '%U %a' /home/ada") == "none\nroot 700"
    assert machine.plan(gone) == ()
    machine.ssh("useradd ada")
    assert machine.apply(gone) == ("users | no account ada",)


def test_the_runner_works_as_a_user_with_sudo(machine: Machine) -> None:
    machine.apply(machine.spec(users=admin(BOB)))
    spec = machine.spec(user="ada", private_key=key_pair("bob")[0], users=admin())
    machine.apply(spec)
    assert machine.plan(spec) == ()
    assert BOB in machine.ssh("cat /home/ada/.ssh/authorized_keys")
