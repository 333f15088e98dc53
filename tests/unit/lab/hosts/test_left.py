"""What of a fleet is still on a machine: each kind of remnant is named."""

from __future__ import annotations

from pathlib import Path

from lab.hosts.left import mounts_in, processes_in

MOUNTS = (
    "36 35 98:0 / /srv/a rw shared:1 - overlay headframe-ab12c-gpu-0 rw,lowerdir=/x\n"
    "37 35 98:0 / /srv/b rw shared:1 - overlay headframe-zzzzz-gpu-0 rw,lowerdir=/x\n"
    "38 35 98:0 /headframe-ab12c-gpu-0/x /srv/c rw shared:1 - cgroup cgroup rw,memory\n"
)


def test_mounts_are_found_by_any_field_and_those_of_other_fleets_are_not() -> None:
    assert mounts_in("headframe-ab12c-", MOUNTS) == ["mount /srv/a", "mount /srv/c"]


def test_processes_are_found_by_their_cgroup(tmp_path: Path) -> None:
    for number, cgroup in (("7", "9:memory:/headframe-ab12c-gpu-0/init"), ("8", "9:memory:/user"), ("self", "x")):
        (tmp_path / number).mkdir()
        (tmp_path / number / "cgroup").write_text(cgroup)
        (tmp_path / number / "comm").write_text("systemd\n")
    (tmp_path / "9").mkdir()  # it ended between the listing and the look
    assert processes_in("headframe-ab12c-", tmp_path) == ["process 7 (systemd)"]
