"""The lease with its real shell scripts: one holder, frozen by a failure, resumed by the machine that froze it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import paramiko
import pytest

from infra.hosts import lease
from infra.hosts.disruption import drain_script, if_the_cluster_answers, is_disruptive
from infra.hosts.failures import OperationFailedError
from infra.hosts.lease import Answer, Lease, clear_script, held, keeper
from infra.hosts.paths import K3S, STATE
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


def test_a_keeper_that_does_not_answer_hides_no_failure(shell: Shell) -> None:
    def run_command(command: str) -> str:
        if "frozen" in command and "disk full" in command:
            raise OperationFailedError("the lease's keeper 203.0.113.1: timed out", operation="lease")
        return shell(command)

    one = Lease("gpu-1", run_command)
    one.take()
    with pytest.raises(RuntimeError, match="disk full"), held(one):
        raise RuntimeError("disk full")


class Keeper:
    """A control host that reboots once: the session that stood before ends, a new one works."""

    connected = False

    def __init__(self) -> None:
        self.sessions = 0
        self.broken = False

    def connect(self, **options: object) -> None:
        del options
        self.sessions += 1
        self.connected, self.broken = True, False

    def run_shell_command(self, command: object, **options: object) -> tuple[bool, SimpleNamespace]:
        del command, options
        if self.broken:
            raise paramiko.SSHException("SSH session not active")
        return True, SimpleNamespace(stdout="taken", stderr="")


def test_a_keeper_that_rebooted_meanwhile_is_entered_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Keeper()
    monkeypatch.setattr(lease, "State", lambda *given: SimpleNamespace(inventory=[host], private_keys={}))
    spec = host_spec(lease=LeaseSpec(host="203.0.113.1", host_key=key_pair()[1]))
    with keeper(spec) as run_command:
        one = Lease("gpu-1", run_command)
        assert one.take().answer is Answer.TAKEN
        host.broken = True
        with pytest.raises(OperationFailedError, match="SSH session not active"):
            one.renew()
        one.renew()
    assert host.sessions == 2


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
    kept = LeaseSpec(host="203.0.113.1", host_key=key_pair()[1])
    run = run_fake(Verb.RESTART, host_spec(lease=kept))
    assert run.error is None
    assert run.commands[-1] == "systemctl restart --no-block k3s && sleep 2"


def test_draining_closes_the_node_and_opening_waits_until_it_is_ready() -> None:
    drained = run_fake(Verb.DRAIN, host_spec()).commands[-1]
    assert drained.index("cordon gpu-0") < drained.index("annotate node gpu-0 --overwrite headframe/draining=true")
    assert drained.index("headframe/draining=true") < drained.index("delete pods -l chutes/chute=true")
    opened = run_fake(Verb.OPEN, host_spec()).commands[-1]
    assert opened.index("/readyz") < opened.index("headframe/draining-") < opened.index("uncordon gpu-0")


@pytest.fixture
def cluster(tmp_path: Path) -> Callable[[str, str], subprocess.CompletedProcess[str]]:
    """Runs a script with a kubectl that does what `answer` says and writes its arguments into the file `asked`."""

    def run_script(answer: str, script: str) -> subprocess.CompletedProcess[str]:
        program = tmp_path / "k3s"
        program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n{answer}\n')
        program.chmod(0o755)
        (tmp_path / "sleep").write_text("#!/bin/sh\n")
        (tmp_path / "sleep").chmod(0o755)
        text = f"export PATH={tmp_path}:$PATH\n{script}".replace(K3S, str(program))
        return subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False, timeout=30)

    return run_script


Cluster = Callable[[str, str], subprocess.CompletedProcess[str]]


def test_a_node_whose_cluster_does_not_answer_is_not_said_to_be_drained(cluster: Cluster) -> None:
    done = cluster("exit 1", drain_script("gpu-0", 0))
    assert done.returncode == 1
    assert "gpu-0 is not drained" in done.stderr


def test_a_list_that_cannot_be_read_is_no_empty_one(cluster: Cluster, tmp_path: Path) -> None:
    done = cluster('case "$*" in *"get pods"*) exit 1;; esac', drain_script("gpu-0", 3))
    assert done.returncode == 0
    asked = (tmp_path / "asked").read_text().splitlines()
    assert len([line for line in asked if "get pods" in line]) == 3
    assert "delete pods" in asked[-1], "what may still run is ended by name before the disruption"


def test_chutes_that_have_finished_end_the_waiting(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster("true", drain_script("gpu-0", 300)).returncode == 0
    asked = (tmp_path / "asked").read_text().splitlines()
    assert ["cordon" in asked[0], "get pods" in asked[-1], len(asked)] == [True, True, 3]


def test_a_machine_whose_cluster_is_down_can_be_repaired_and_it_is_said(cluster: Cluster) -> None:
    done = cluster("exit 1", f"{if_the_cluster_answers()}\n{drain_script('gpu-0', 0)}")
    assert (done.returncode, done.stdout) == (0, "its cluster does not answer: not drained\n")


def test_a_cluster_that_is_away_for_a_moment_is_drained(cluster: Cluster, tmp_path: Path) -> None:
    second = f'case "$*" in *readyz*) [ -e {tmp_path}/once ] || {{ touch {tmp_path}/once; exit 1; }};; esac'
    assert cluster(second, f"{if_the_cluster_answers()}\n{drain_script('gpu-0', 1)}").returncode == 0
    assert "cordon gpu-0" in (tmp_path / "asked").read_text()
