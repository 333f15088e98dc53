"""The lease with its real shell scripts: one holder, frozen by a failure, resumed by the machine that froze it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.hosts.disruption import is_disruptive
from infra.hosts.failures import OperationFailedError
from infra.hosts.lease import Answer, Lease, clear_script, held
from infra.hosts.paths import STATE
from infra.spec import LeaseSpec, Verb
from tests.support.fake_host import run_fake
from tests.support.specs import host_spec, key_pair

Shell = Callable[[str], str]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Runs the scripts as the control host would, in a folder of this test."""

    def run_command(command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", command.replace(STATE, str(tmp_path))], capture_output=True, text=True, timeout=10, check=False
        )
        if done.returncode:
            raise OperationFailedError(done.stderr, operation="lease")
        return done.stdout

    return run_command


def let_it_expire(folder: Path) -> None:
    file = folder / "lease"
    state, node, run, _, reason = file.read_text().split(" ", 4)
    file.write_text(f"{state} {node} {run} 1 {reason}")


def test_one_machine_holds_it_and_the_other_waits(shell: Shell) -> None:
    one, two = Lease("gpu-1", shell), Lease("gpu-2", shell)
    assert one.take().answer is Answer.TAKEN
    assert one.take().answer is Answer.TAKEN
    reply = two.take()
    assert (reply.answer, reply.holder) == (Answer.HELD, "gpu-1")
    one.release()
    assert two.take().answer is Answer.TAKEN


def test_two_runs_for_one_machine_do_not_share_it(shell: Shell) -> None:
    assert Lease("gpu-1", shell).take().answer is Answer.TAKEN
    assert Lease("gpu-1", shell).take().answer is Answer.HELD


def test_a_failure_freezes_it_for_the_others_and_the_same_machine_resumes(shell: Shell) -> None:
    one = Lease("gpu-1", shell)
    one.take()
    with pytest.raises(RuntimeError), held(one):
        raise RuntimeError("disk full")
    reply = Lease("gpu-2", shell).take()
    assert (reply.answer, reply.holder, reply.reason) == (Answer.FROZEN, "gpu-1", "failed: disk full")
    assert Lease("gpu-1", shell).take().answer is Answer.TAKEN


def test_a_holder_that_vanished_freezes_it(shell: Shell, tmp_path: Path) -> None:
    Lease("gpu-1", shell).take()
    let_it_expire(tmp_path)
    reply = Lease("gpu-2", shell).take()
    assert (reply.answer, reply.holder) == (Answer.FROZEN, "gpu-1")
    assert "vanished" in reply.reason


@pytest.mark.parametrize(
    ("silent_seconds", "answer"), [(0, Answer.HELD), (89, Answer.HELD), (90, Answer.FROZEN), (86_400, Answer.FROZEN)]
)
def test_a_holder_is_taken_for_gone_after_ninety_seconds_of_silence_by_the_keepers_clock(
    shell: Shell, tmp_path: Path, silent_seconds: int, answer: Answer
) -> None:
    clock = tmp_path / "bin" / "date"
    clock.parent.mkdir()

    def at(seconds: int) -> Shell:
        def run_command(command: str) -> str:
            clock.write_text(f"#!/bin/sh\necho {1_800_000_000 + seconds}\n")
            clock.chmod(0o755)
            return shell(f"export PATH={clock.parent}:$PATH\n{command}")

        return run_command

    Lease("gpu-1", at(0)).take()
    assert Lease("gpu-2", at(silent_seconds)).take().answer is answer


def test_every_renewal_counts_ninety_seconds_anew(shell: Shell, tmp_path: Path) -> None:
    clock = tmp_path / "date"

    def run_command(command: str) -> str:
        return shell(f"export PATH={tmp_path}:$PATH\n{command}")

    one, two = Lease("gpu-1", run_command), Lease("gpu-2", run_command)
    for seconds in range(0, 200, 20):
        clock.write_text(f"#!/bin/sh\necho {1_800_000_000 + seconds}\n")
        clock.chmod(0o755)
        assert (one.take() if seconds == 0 else two.take()).answer is (Answer.HELD if seconds else Answer.TAKEN)
        one.renew()


def test_renewing_keeps_it_alive(shell: Shell, tmp_path: Path) -> None:
    one = Lease("gpu-1", shell)
    one.take()
    let_it_expire(tmp_path)
    one.renew()
    assert Lease("gpu-2", shell).take().answer is Answer.HELD


def test_a_good_end_gives_it_back(shell: Shell) -> None:
    one = Lease("gpu-1", shell)
    one.take()
    with held(one):
        pass
    assert Lease("gpu-2", shell).take().answer is Answer.TAKEN


def test_an_operator_frees_it_and_is_told_what_it_was(shell: Shell) -> None:
    one = Lease("gpu-1", shell)
    one.take()
    one.freeze("failed: x")
    assert shell(clear_script()).startswith("frozen gpu-1")
    assert Lease("gpu-2", shell).take().answer is Answer.TAKEN


def test_waiting_says_for_whom_once_and_ends_in_time(shell: Shell) -> None:
    Lease("gpu-1", shell).take()
    said: list[str] = []
    with pytest.raises(OperationFailedError, match="no turn within 6 s: gpu-1"):
        Lease("gpu-2", shell).wait(6, said.append, lambda _: None)
    assert said == ["waits for its turn: gpu-1 is being changed"]


def test_a_frozen_roll_out_stops_at_once_and_says_what_to_do(shell: Shell) -> None:
    one = Lease("gpu-1", shell)
    one.take()
    one.freeze("failed: disk full")
    with pytest.raises(OperationFailedError, match="headframe free-lease"):
        Lease("gpu-2", shell).wait(600, lambda _: None, lambda _: None)


def test_a_lease_that_was_taken_over_is_not_given_back(shell: Shell, tmp_path: Path) -> None:
    old = Lease("gpu-1", shell)
    old.take()
    let_it_expire(tmp_path)
    Lease("gpu-1", shell).take()
    with pytest.raises(OperationFailedError, match="no longer ours"):
        old.release()


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("k3s | service runs with these settings", True),
        ("nvidia | driver 580.95.05 loaded", True),
        ("act | reboot", True),
        ("k3s | node labels", False),
        ("base | file /etc/motd", False),
    ],
)
def test_what_is_disruptive(operation: str, expected: bool) -> None:
    assert is_disruptive(operation) is expected


def test_an_act_without_a_cluster_takes_no_lease() -> None:
    lease = LeaseSpec(host="203.0.113.1", host_key=key_pair()[1])
    run = run_fake(Verb.RESTART, host_spec(lease=lease))
    assert run.error is None
    assert run.commands[-1] == "systemctl restart --no-block k3s && sleep 2"


def test_draining_closes_the_node_and_opening_waits_until_it_is_ready() -> None:
    drained = run_fake(Verb.DRAIN, host_spec()).commands[-1]
    assert drained.index("cordon gpu-0") < drained.index("annotate node gpu-0 --overwrite headframe/draining=true")
    assert drained.index("headframe/draining=true") < drained.index("delete pods -l chutes/chute=true")
    opened = run_fake(Verb.OPEN, host_spec()).commands[-1]
    assert opened.index("/readyz") < opened.index("headframe/draining-") < opened.index("uncordon gpu-0")
