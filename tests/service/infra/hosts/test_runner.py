"""The runner as a process against a real sshd: protocol, exit codes, and a clear error for each bad connection."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.hosts.machine_lock import lock_script
from infra.spec import (
    BaseSpec,
    ErrorEvent,
    ErrorKind,
    Event,
    ExitCode,
    FactsEvent,
    FileSpec,
    HostSpec,
    PlanEvent,
    ResultEvent,
    Verb,
    parse_event,
)
from tests.support.processes import is_alive
from tests.support.specs import key_pair
from tests.support.sshd import LoopbackSshd

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSshd]:
    with LoopbackSshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def run(verb: Verb, line: str) -> tuple[int, list[Event]]:
    """Exit status and events; every line of standard output must be an event."""
    command = [sys.executable, "-m", "infra.hosts", verb]
    done = subprocess.run(command, input=f"{line}\n", capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, [parse_event(text) for text in done.stdout.splitlines()]


def error_of(events: list[Event]) -> ErrorEvent:
    assert isinstance(events[-1], ErrorEvent)
    return events[-1]


def test_a_plan_says_what_would_change_and_changes_nothing(sshd: LoopbackSshd, tmp_path: Path) -> None:
    wanted = sshd.spec(base=BaseSpec(files=(FileSpec(path=str(tmp_path / "a"), content="x"),)))
    status, events = run(Verb.PLAN, wanted.to_json())
    assert status == ExitCode.DONE
    kinds = [event.event for event in events if event.event != "log"]  # a machine may have notes of its own
    assert kinds == ["hello", "connected", "facts", "plan", "result"]
    plan = next(event.plan for event in events if isinstance(event, PlanEvent))
    assert plan.changes == (f"base | file {tmp_path}/a",)
    assert not (tmp_path / "a").exists()


def test_an_apply_does_it_and_a_second_plan_is_empty(sshd: LoopbackSshd, tmp_path: Path) -> None:
    file = FileSpec(path=str(tmp_path / "deep" / "a"), content='it\'s "$HOME" %s\n\n`x`', mode="640")
    wanted = sshd.spec(base=BaseSpec(files=(file,)))
    status, events = run(Verb.APPLY, wanted.to_json())
    assert status == ExitCode.DONE
    assert isinstance(events[-1], ResultEvent)
    assert events[-1].changed == (f"base | file {file.path}",)
    assert Path(file.path).read_text() == f"{file.content}\n"
    assert Path(file.path).stat().st_mode & 0o777 == 0o640
    _, events = run(Verb.PLAN, wanted.to_json())
    assert next(event.plan for event in events if isinstance(event, PlanEvent)).changes == ()


def test_a_kubelet_that_gives_a_file_to_its_pods_group_is_no_drift(sshd: LoopbackSshd, tmp_path: Path) -> None:
    file = FileSpec(path=str(tmp_path / "volume" / "README"), content="x\n", mode="664", any_group=True)
    wanted = sshd.spec(base=BaseSpec(files=(file,)))
    assert run(Verb.APPLY, wanted.to_json())[0] == ExitCode.DONE
    os.chown(file.path, -1, 10001)  # with rw for the group, which it has: what fsGroup does
    status, events = run(Verb.PLAN, wanted.to_json())
    assert status == ExitCode.DONE
    assert next(event.plan for event in events if isinstance(event, PlanEvent)).changes == ()


def test_facts_are_read_without_a_plan(sshd: LoopbackSshd) -> None:
    status, events = run(Verb.FACTS, sshd.spec().to_json())
    assert status == ExitCode.DONE
    assert [event.event for event in events] == ["hello", "connected", "facts", "result"]
    assert next(event.facts for event in events if isinstance(event, FactsEvent)).cores == os.cpu_count()


def test_a_changed_host_key_is_refused(sshd: LoopbackSshd) -> None:
    status, events = run(Verb.PLAN, sshd.spec(host_key=key_pair("stranger")[1]).to_json())
    assert status == ExitCode.CANNOT_CONNECT
    assert "host key" in error_of(events).message.lower()


def test_a_wrong_key_is_refused(sshd: LoopbackSshd) -> None:
    status, events = run(Verb.PLAN, sshd.spec(private_key=key_pair("stranger")[0]).to_json())
    assert status == ExitCode.CANNOT_CONNECT
    assert "Authentication" in error_of(events).message
    assert "PRIVATE KEY" not in error_of(events).message


def test_a_key_that_is_none_is_told(sshd: LoopbackSshd) -> None:
    status, events = run(Verb.PLAN, sshd.spec(private_key="marker").to_json())
    assert status == ExitCode.CANNOT_CONNECT
    assert "OpenSSH or PEM" in error_of(events).message
    assert "marker" not in error_of(events).message


def test_nobody_at_the_address_is_told_with_the_command_to_try(sshd: LoopbackSshd) -> None:
    status, events = run(Verb.PLAN, sshd.spec(port=1).to_json())
    assert status == ExitCode.CANNOT_CONNECT
    assert "`ssh -p 1 " in error_of(events).message


@pytest.mark.parametrize("line", ["", "{}", "not json", '{"name": "gpu-0", "surprise": 1}'])
def test_a_bad_spec_is_rejected(line: str) -> None:
    status, events = run(Verb.PLAN, line)
    assert status == ExitCode.SPEC_REJECTED
    assert error_of(events).kind is ErrorKind.SPEC_REJECTED


def test_a_full_disk_is_an_error_with_what_the_machine_said(sshd: LoopbackSshd) -> None:
    wanted = sshd.spec(base=BaseSpec(files=(FileSpec(path="/dev/full/x", content="x"),)))
    status, events = run(Verb.APPLY, wanted.to_json())
    assert status == ExitCode.OPERATION_FAILED
    assert error_of(events).operation == "base | file /dev/full/x"
    assert "/dev/full" in error_of(events).message


def slow(sshd: LoopbackSshd, folder: Path) -> HostSpec:
    """A spec whose apply takes long enough to be interrupted."""
    files = tuple(FileSpec(path=str(folder / f"file-{number}"), content="x") for number in range(15))
    return sshd.spec(base=BaseSpec(files=files))


def test_an_attached_runner_ends_when_its_parent_is_gone(sshd: LoopbackSshd, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "infra.hosts", "--attached", "apply"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(slow(sshd, tmp_path).to_json().encode() + b"\n")
    child.stdin.flush()
    while b'"op"' not in child.stdout.readline():
        assert child.poll() is None
    child.stdin.close()
    assert child.wait(20) != ExitCode.DONE
    child.stdout.close()
    assert len(list(tmp_path.iterdir())) < 15


def test_a_killed_runner_leaves_whole_files_and_the_next_run_finishes(sshd: LoopbackSshd, tmp_path: Path) -> None:
    wanted = slow(sshd, tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-m", "infra.hosts", "apply"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        child.stdin.write(wanted.to_json().encode() + b"\n")
        child.stdin.flush()
        while b'"op"' not in child.stdout.readline():
            assert child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    assert not is_alive(child.pid)
    time.sleep(0.2)
    assert all(path.read_text() == "x\n" for path in tmp_path.glob("file-[0-9]*") if "." not in path.name)
    status, _ = run(Verb.APPLY, wanted.to_json())
    assert status == ExitCode.DONE
    assert len([path for path in tmp_path.iterdir() if path.read_text() == "x\n"]) >= 15


def begun(wanted: HostSpec) -> subprocess.Popen[bytes]:
    """A run that has begun its first operation; its remaining events are in its standard output."""
    child = subprocess.Popen(
        [sys.executable, "-m", "infra.hosts", "apply"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(wanted.to_json().encode() + b"\n")
    child.stdin.flush()
    while b'"op"' not in child.stdout.readline():
        assert child.poll() is None
    return child


def test_a_machine_that_goes_away_in_the_middle_is_told_and_finished_later(tmp_path: Path) -> None:
    with LoopbackSshd(tmp_path / "sshd") as server:
        folder = tmp_path / "files"
        folder.mkdir()
        wanted = slow(server, folder)
        child = begun(wanted)
        server.cut()
        rest, _ = child.communicate(timeout=60)
        assert child.returncode == ExitCode.OPERATION_FAILED
        last = parse_event(rest.splitlines()[-1])
        assert isinstance(last, ErrorEvent)
        assert "the connection was lost" in last.message
        assert len(list(folder.iterdir())) < 15
        assert run(Verb.APPLY, wanted.to_json())[0] == ExitCode.DONE
        assert len(list(folder.iterdir())) == 15


def test_two_runs_at_once_change_a_machine_one_after_the_other(sshd: LoopbackSshd, tmp_path: Path) -> None:
    files = tuple(FileSpec(path=str(tmp_path / f"file-{number}"), content="x") for number in range(3))
    wanted = sshd.spec(name=f"two-at-once-{os.getpid()}", base=BaseSpec(files=files))
    runs = [begun_at_all(wanted) for _ in range(2)]
    last = [parse_event(child.communicate(timeout=300)[0].splitlines()[-1]) for child in runs]
    changed = [len(event.changed) for event in last if isinstance(event, ResultEvent)]
    # On a very slow machine the second one's patience may end first; then it names the first.
    refused = [event.message for event in last if isinstance(event, ErrorEvent)]
    assert max(changed) == 3
    assert all("is being changed by" in message for message in refused)
    assert all(path.read_text() == "x\n" for path in tmp_path.iterdir())


def begun_at_all(wanted: HostSpec) -> subprocess.Popen[bytes]:
    """A run in the background."""
    child = subprocess.Popen(
        [sys.executable, "-m", "infra.hosts", "apply"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    child.stdin.write(wanted.to_json().encode() + b"\n")
    child.stdin.flush()
    return child


def test_a_machine_that_somebody_else_changes_for_long_is_left_with_his_name(
    sshd: LoopbackSshd, tmp_path: Path
) -> None:
    wanted = slow(sshd, tmp_path).model_copy(update={"name": f"busy-{os.getpid()}"})
    script = lock_script(wanted.name, 1, "ada@elsewhere, process 7")
    holder = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    other = ["sh", "-c", lock_script(wanted.name, 0, "me")]
    second = subprocess.run(other, capture_output=True, text=True, check=False)
    assert (second.returncode, second.stdout) == (1, "ada@elsewhere, process 7\n")
    holder.communicate(b"")
    assert run(Verb.APPLY, wanted.to_json())[0] == ExitCode.DONE
