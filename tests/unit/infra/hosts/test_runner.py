"""The runner on a fake machine: who may not become root, what is refused before a change, and what each verb does."""

from __future__ import annotations

import pytest
from pyinfra.connectors.fake import FakeConnector

from infra.hosts.failures import OperationFailedError
from infra.hosts.machine_lock import lock_script, whoami
from infra.spec import FactsEvent, FileSpec, HostRole, K3sSpec, LogEvent, Verb
from infra.spec.base import BaseSpec
from infra.spec.gpu import NvidiaSpec
from infra.spec.k3s import BinarySource
from tests.support.fake_host import run_fake
from tests.support.specs import host_spec

BASE = BaseSpec(files=(FileSpec(path="/etc/motd", content="x"),))


def test_an_account_without_sudo_is_told_which_line_gives_it() -> None:
    run = run_fake(Verb.APPLY, host_spec(user="ada", base=BASE))
    assert isinstance(run.error, OperationFailedError)
    assert "ada ALL=(ALL) NOPASSWD:ALL" in run.error.message
    assert not any("/etc/motd" in command for command in run.commands)


def test_an_account_with_sudo_goes_on() -> None:
    run = run_fake(Verb.PLAN, host_spec(user="ada", base=BASE), {"sudo -n true": "yes"})
    assert run.error is None
    assert run.plan.changes == ("base | file /etc/motd",)


@pytest.mark.parametrize(
    ("facts", "wrong"),
    [("os_id=arch\narchitecture=x86_64", "runs arch"), ("os_id=debian\narchitecture=sparc", "is sparc")],
)
def test_another_system_is_left_alone(facts: str, wrong: str) -> None:
    run = run_fake(Verb.APPLY, host_spec(base=BASE), {"say machine_id": facts})
    assert run.error is not None
    assert wrong in run.error.message
    plan = run_fake(Verb.PLAN, host_spec(base=BASE), {"say machine_id": facts}).plan
    assert wrong in "".join(plan.refused_because)
    assert plan.changes == ("base | file /etc/motd",)


def test_looking_at_facts_makes_no_plan() -> None:
    run = run_fake(Verb.FACTS, host_spec(base=BASE))
    assert run.error is None
    assert [type(event) for event in run.events if isinstance(event, FactsEvent)] == [FactsEvent]
    assert not any("/etc/motd" in command for command in run.commands)


def test_what_no_operation_says_is_noted() -> None:
    facts = "os_id=debian\narchitecture=x86_64\npending_security_updates=3\nreboot_required=yes"
    nvidia = NvidiaSpec(driver_version="0.0", toolkit_version="0.0.0", simulated=True)
    run = run_fake(Verb.PLAN, host_spec(nvidia=nvidia), {"say machine_id": facts})
    notes = " ".join(event.message for event in run.events if isinstance(event, LogEvent))
    assert "3 security updates are pending" in notes
    assert "headframe reboot" in notes
    assert "simulated" in notes


def test_a_machine_that_leaves_ends_its_cluster_and_its_echo() -> None:
    k3s = K3sSpec(version="v1.33.1+k3s1", source=BinarySource(url="file:///opt/k3s"))
    control = run_fake(Verb.STOP, host_spec(role=HostRole.CONTROL, k3s=k3s))
    assert {"stop | k3s is off", "echo | echo is off"} <= {item.name for item in control.plan.operations}
    node = run_fake(Verb.WIPE, host_spec(k3s=k3s))
    names = {item.name for item in node.plan.operations}
    assert "wipe | k3s and its data" in names
    assert not any(name.startswith("echo") for name in names)


@pytest.mark.parametrize("verb", [Verb.DRAIN, Verb.OPEN, Verb.RESTART, Verb.RECOVER])
def test_an_act_declares_nothing_but_itself(verb: Verb) -> None:
    run = run_fake(verb, host_spec(base=BASE))
    assert all(item.name.startswith(("act | ", "lease | ")) for item in run.plan.operations)


def test_the_lock_of_a_machine_is_its_own_and_names_its_holder() -> None:
    script = lock_script("gpu-0", 5, "ada@here; rm -rf /")
    assert "/run/headframe-gpu-0.lock" in script
    assert "'ada@here; rm -rf /'" in script
    assert "process" in whoami()


def test_an_end_of_the_connection_that_a_write_met_first_is_told_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transport still calls itself active: its reading thread has not seen the end yet."""

    def cut(*_arguments: object, **_options: object) -> tuple[bool, object]:
        raise EOFError

    monkeypatch.setattr(FakeConnector, "run_shell_command", cut)
    error = run_fake(Verb.APPLY, host_spec()).error
    assert error is not None
    assert "the connection was lost" in error.message
