"""Name, kernel, limits, swap and accounts: what is sent to a bare machine, and nothing to one that is as wanted."""

from __future__ import annotations

import hashlib

from syrupy.assertion import SnapshotAssertion

from infra.spec import HostSpec, KernelSpec, UserSpec, Verb
from tests.support.fake_host import run_fake
from tests.support.specs import host_spec, key_pair

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEVYQU1QTEUtT05MWS1OT1QtQS1SRUFMLUtFWS0h ada"
KERNEL = KernelSpec(
    sysctl={"net.ipv4.ip_forward": "1", "kernel.pid_max": "4194304"},
    modules=("br_netfilter",),
    open_files=40000,
    swap_off=True,
)
LOOKS = ("; } || true", "then echo yes", "say ")


def sent(spec: HostSpec, responses: dict[str, object]) -> list[str]:
    run = run_fake(Verb.APPLY, spec, responses)
    assert run.error is None
    return [command for command in run.commands if not any(look in command for look in LOOKS)]


def seen(text: str, mode: str = "644") -> str:
    return f"{hashlib.sha256(text.encode()).hexdigest()}  -\n{mode} root root"


def test_what_a_bare_machine_is_sent(snapshot: SnapshotAssertion) -> None:
    spec = host_spec(kernel=KERNEL, manage_hostname=True)
    assert sent(spec, {"/sys/module/": "br_netfilter", "/proc/swaps": "yes"}) == snapshot


def test_a_machine_that_is_as_wanted_is_sent_nothing() -> None:
    limits = "* soft nofile 40000\n* hard nofile 40000\nroot soft nofile 40000\nroot hard nofile 40000\n"
    converged = {
        "cat /proc/sys/kernel/hostname; cat": "gpu-0\ngpu-0\nknown",
        "sha256sum < /etc/cloud": seen("preserve_hostname: true\n"),
        "sha256sum < /etc/modules-load.d": seen("br_netfilter\n"),
        "sha256sum < /etc/sysctl.d": seen("kernel.pid_max = 4194304\nnet.ipv4.ip_forward = 1\n"),
        "sysctl -n": "4194304\n1",
        "sha256sum < /etc/security": seen(limits),
        "sha256sum < /etc/systemd/system.conf.d": seen("[Manager]\nDefaultLimitNOFILE=40000\n"),
        "/proc/swaps": "no",
    }
    spec = host_spec(kernel=KERNEL, manage_hostname=True)
    assert run_fake(Verb.PLAN, spec, converged).plan.changes == ()


def test_what_accounts_are_sent(snapshot: SnapshotAssertion) -> None:
    users = (
        UserSpec(name="ada", authorized_keys=(KEY,), sudo=True),
        UserSpec(name="bob"),
        UserSpec(name="eve", present=False),
    )
    assert sent(host_spec(users=users), {"passwd eve": "yes", "headframe-eve": "yes"}) == snapshot


def test_accounts_that_are_as_wanted_are_sent_nothing() -> None:
    converged = {
        "authorized_keys": f"600 ada\n{KEY}",
        "passwd ada |": "yes",
        "passwd eve >": "no",
        "sha256sum < /etc/sudoers.d/headframe-ada": seen("ada ALL=(ALL) NOPASSWD:ALL\n", "440"),
        "headframe-eve": "no",
    }
    users = (UserSpec(name="ada", authorized_keys=(KEY,), sudo=True), UserSpec(name="eve", present=False))
    assert run_fake(Verb.PLAN, host_spec(users=users), converged).plan.changes == ()


def test_the_key_that_the_runner_uses_is_never_revoked() -> None:
    own = f"{key_pair()[1]} headframe"
    users = (UserSpec(name="ubuntu", authorized_keys=(KEY,), sudo=True),)
    converged = {"sudo -n true": "yes", "authorized_keys": f"600 ubuntu\n{KEY}\n{own}", "passwd ubuntu |": "yes"}
    changes = run_fake(Verb.PLAN, host_spec(user="ubuntu", users=users), converged).plan.changes
    assert "users | keys of ubuntu" not in changes
