"""Moving data to the large disk: the script, the unit, and the names that systemd gives to paths."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from infra.hosts.operations.storage import mount_unit, mount_unit_name, move_script
from infra.spec import BindMount, Verb
from tests.support.fake_host import run_fake
from tests.support.specs import host_spec

MOUNT = (BindMount(source="/data/snap", minimum_free_gib=100),)


def test_the_script_and_the_unit_are_these(snapshot: SnapshotAssertion) -> None:
    assert move_script("/data/snap", "/var/snap", 100) == snapshot(name="script")
    assert mount_unit("/data/snap", "/var/snap") == snapshot(name="unit")


def test_the_script_is_one_that_a_shell_reads() -> None:
    done = subprocess.run(["sh", "-n", "-c", move_script("/a b", "/c", 1)], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("path", "name"),
    [("/var/snap", "var-snap.mount"), ("/var/lib/my-data", r"var-lib-my\x2ddata.mount"), ("/a b", r"a\x20b.mount")],
)
def test_a_unit_is_named_as_systemd_names_it(path: str, name: str) -> None:
    assert mount_unit_name(path) == name


def test_a_mount_that_stands_gets_no_command() -> None:
    assert run_fake(Verb.PLAN, host_spec(storage=MOUNT), {"stat -c %d:%i": "yes"}).plan.changes == ()


def test_a_missing_mount_is_named() -> None:
    assert run_fake(Verb.PLAN, host_spec(storage=MOUNT)).plan.changes == ("storage | bind mount /var/snap",)


def test_data_is_moved_before_anything_is_written() -> None:
    spec = host_spec(storage=MOUNT, base={"files": [{"path": "/var/snap/x", "content": "x"}]})
    names = [operation.name for operation in run_fake(Verb.PLAN, spec).plan.operations]
    assert names.index("storage | bind mount /var/snap") < names.index("base | file /var/snap/x")


def test_no_file_of_the_test_machine_was_touched() -> None:
    assert not Path("/var/snap/x").exists()
