"""Moving data to the large disk: the script, the unit, and the names that systemd gives to paths."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from infra.hosts.operations.storage import aside, mount_unit, mount_unit_name, move_script
from infra.hosts.paths import STATE
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


class Disks:
    """A source and a target below one folder, and the script that moves what is at the target."""

    def __init__(self, folder: Path) -> None:
        self.source, self.target, self.state = folder / "disk" / "snap", folder / "snap", folder / "state"
        self.target.mkdir()

    def move(self) -> subprocess.CompletedProcess[str]:
        script = move_script(str(self.source), str(self.target), 0).replace(STATE, str(self.state))
        return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=60)

    def note(self, suffix: str, text: str) -> None:
        (self.state / "storage").mkdir(parents=True)
        (self.state / "storage" / f"{str(self.target).strip('/').replace('/', '-')}.{suffix}").write_text(text)


@pytest.fixture
def disks(tmp_path: Path) -> Disks:
    return Disks(tmp_path)


def test_data_waits_aside_after_it_was_copied(disks: Disks) -> None:
    (disks.target / "a").write_text("x")
    assert disks.move().returncode == 0
    assert (disks.source / "a").read_text() == Path(aside(str(disks.target)), "a").read_text() == "x"
    assert disks.move().returncode == 0, "a run that died there is run again"


def test_what_waits_aside_is_not_given_up_where_the_copy_is_not_there(disks: Disks) -> None:
    (disks.target / "a").write_text("x")
    disks.move()
    (disks.source / "a").unlink()  # as where the disk of the source is not mounted
    done = disks.move()
    assert done.returncode == 1
    assert "is not its copy" in done.stderr


def test_an_empty_folder_in_the_place_of_a_disk_that_is_missing_is_refused(disks: Disks) -> None:
    disks.note("stood", "/mnt/large\n")
    done = disks.move()
    assert done.returncode == 1
    assert "lay on the disk at /mnt/large, which is not mounted" in done.stderr
    assert not disks.source.exists()


def test_the_disk_that_it_was_is_taken_again(disks: Disks, tmp_path: Path) -> None:
    where = subprocess.run(["findmnt", "-n", "-o", "TARGET", "-T", tmp_path], capture_output=True, check=True)
    disks.note("stood", where.stdout.decode().splitlines()[-1])
    assert disks.move().returncode == 0
    assert disks.source.is_dir()
