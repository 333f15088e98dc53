"""What recovery decides, on data: whose lock is abandoned, and what an unfinished operation needs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from infra.cli.locks import Lock, is_running_engine, judge, lock_folder, read_locks
from infra.cli.pending import adopt_arguments, pending_operations, without_pending
from tests.support.engine import eventually

URN = "urn:pulumi:lab::headframe::kubernetes:apps/v1:StatefulSet::postgres"


def lock(pid: int, hostname: str = "here") -> Lock:
    return Lock(pid=pid, hostname=hostname, username="me", timestamp="now", path=Path("/x"))


def test_only_a_dead_engine_of_this_machine_has_an_abandoned_lock() -> None:
    locks = [lock(1), lock(2), lock(1, "elsewhere"), lock(2, "elsewhere")]
    report = judge(locks, "here", lambda pid: pid == 1)
    assert report.abandoned == (lock(2),)
    assert report.held == (lock(1), lock(1, "elsewhere"), lock(2, "elsewhere"))


def test_the_lock_folder_is_known_for_file_backends_only() -> None:
    folder = lock_folder("file:///home/me/my%20state", "headframe", "organization/headframe/lab")
    assert folder == Path("/home/me/my state/.pulumi/locks/organization/headframe/lab")
    assert lock_folder("https://api.example.net", "headframe", "lab") is None


@pytest.mark.parametrize(("url", "below"), [("file://~", ""), ("file://~/state", "state"), ("file://~?x=1", "")])
def test_the_home_folder_is_one_as_login_local_writes_it(url: str, below: str) -> None:
    assert lock_folder(url, "p", "s") == Path.home() / below / ".pulumi/locks/organization/p/s"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_lock_that_a_power_cut_left_unreadable_is_held_by_nobody_knows_whom(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    report = judge(read_locks(tmp_path), "here", lambda pid: False)
    assert [str(lock) for lock in report.held] == [f"an unreadable lock {tmp_path}/a.json"]
    assert not report.abandoned


def test_locks_are_read_as_the_engine_writes_them(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"pid": 7, "username": "root", "hostname": "vm", "timestamp": "t"}))
    (tmp_path / "a.json.attrs").write_text("{}")
    (found,) = read_locks(tmp_path)
    assert str(found) == "root@vm, process 7, since t"
    assert read_locks(tmp_path / "none") == []


def test_a_process_that_is_no_engine_holds_nothing(tmp_path: Path) -> None:
    program = tmp_path / "pulumi"
    program.symlink_to("/bin/sleep")
    process = subprocess.Popen([str(program), "60"])
    try:
        assert is_running_engine(process.pid)
    finally:
        process.kill()
    assert eventually(lambda: not is_running_engine(process.pid))  # a zombie
    process.wait()
    assert not is_running_engine(process.pid)
    assert not is_running_engine(os.getpid())


def test_unfinished_operations_are_named_and_taken_out() -> None:
    inputs = {"metadata": {"name": "postgres", "namespace": "chutes"}}
    resource = {"urn": URN, "type": "kubernetes:apps/v1:StatefulSet", "inputs": inputs}
    state = {
        "version": 3,
        "deployment": {"resources": [1], "pending_operations": [{"type": "creating", "resource": resource}]},
    }
    (pending,) = pending_operations(state)
    assert str(pending) == "creating kubernetes:apps/v1:StatefulSet postgres"
    assert without_pending(state) == {"version": 3, "deployment": {"resources": [1]}}
    assert pending_operations({"deployment": None}) == []


def test_kubernetes_objects_that_may_exist_are_adopted_by_their_id() -> None:
    def operation(kind: str, type_: str, inputs: Mapping[str, object]) -> dict[str, object]:
        return {"type": kind, "resource": {"urn": f"urn::{type_}", "type": type_, "inputs": inputs}}

    named = {"metadata": {"name": "x", "namespace": "chutes"}}
    operations = [
        operation("creating", "kubernetes:core/v1:Service", named),
        operation("creating", "kubernetes:core/v1:Namespace", {"metadata": {"name": "chutes"}}),
        operation("creating", "kubernetes:helm.sh/v3:Release", {"name": "gpu", "namespace": "gpu-operator"}),
        operation("updating", "kubernetes:core/v1:Secret", named),
        operation("creating", "headframe:index:Host", {"name": "gpu-0"}),
        operation("creating", "kubernetes:core/v1:Pod", {}),
    ]
    pending = pending_operations({"deployment": {"pending_operations": operations}})
    assert [item.object_id for item in pending] == ["chutes/x", "chutes", "gpu-operator/gpu", None, None, None]
    arguments = adopt_arguments(pending)
    assert arguments[:6] == [
        "--import-pending-creates", "urn::kubernetes:core/v1:Service",
        "--import-pending-creates", "chutes/x",
        "--target", "urn::kubernetes:core/v1:Service",
    ]  # fmt: skip
    assert len(arguments) == 18
