"""Both cgroup versions are recognised, and a host's cgroup is made and removed in every hierarchy."""

from __future__ import annotations

from pathlib import Path

from lab.hosts.cgroups import CgroupLayout, HostCgroup, names_with_prefix, parse_layout

VERSION_1 = """\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
22 21 0:19 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
23 22 0:20 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
24 22 0:21 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
25 22 0:22 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
26 22 0:23 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""
VERSION_2 = "30 21 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_version_1_is_every_hierarchy_and_leaves_the_empty_unified_one_alone() -> None:
    layout = parse_layout(VERSION_1)
    assert layout is not None
    assert layout.version == 1
    assert [mount.name for mount in layout.mounts] == ["cpu,cpuacct", "memory", "systemd"]
    assert layout.nspawn_environment == {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "0"}


def test_version_2_is_one_hierarchy() -> None:
    layout = parse_layout(VERSION_2)
    assert layout == CgroupLayout(2, (Path("/sys/fs/cgroup"),))
    assert layout.nspawn_environment == {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}


def test_a_machine_without_cgroups_has_no_layout() -> None:
    assert parse_layout("21 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n") is None


def test_a_host_has_a_cgroup_in_every_hierarchy_and_none_after_removal(tmp_path: Path) -> None:
    layout = CgroupLayout(1, (tmp_path / "cpuset", tmp_path / "memory"))
    for mount in layout.mounts:
        mount.mkdir()
    cgroup = HostCgroup(layout, "headframe-abc-1")
    cgroup.create()
    (tmp_path / "memory" / "headframe-abc-1" / "kubepods" / "pod1").mkdir(parents=True)
    assert names_with_prefix(layout, "headframe-abc-") == {"headframe-abc-1"}
    assert cgroup.pids() == set()
    cgroup.remove()
    assert not cgroup.exists
    cgroup.remove()  # again is no error
