"""What is read from and put back on the machine, on fake trees: networks, mounts, kernel settings, requirements."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab.hosts.disk import mounts_named, mounts_of
from lab.hosts.kernel import raise_settings, restore_settings
from lab.hosts.network import fleet_id_of_bridge, free_network
from lab.hosts.requirements import missing


def test_a_further_fleet_gets_a_network_that_nobody_uses() -> None:
    occupied = {"hf-1": IPv4Network("198.18.100.0/24"), "eth0": IPv4Network("198.18.101.128/25")}
    assert free_network(occupied) == IPv4Network("198.18.102.0/24")
    assert free_network(occupied, first=150) == IPv4Network("198.18.150.0/24")
    with pytest.raises(RuntimeError, match="ip addr"):
        free_network({"eth0": IPv4Network("198.18.0.0/15")})


def test_only_our_bridges_name_a_fleet() -> None:
    assert fleet_id_of_bridge("hf-1a2b3") == "1a2b3"
    assert fleet_id_of_bridge("docker0") is None


def test_overlays_of_a_fleet_are_found_by_their_source_last_first() -> None:
    mountinfo = (
        "40 1 0:50 / /a\\040b/root rw - overlay headframe-abc-1 rw,lowerdir=/x\n"
        "41 1 0:51 / /c/root rw - overlay headframe-abc-2 rw,lowerdir=/x\n"
        "42 1 0:52 / /d/root rw - overlay overlay rw,lowerdir=/x\n"
    )
    assert mounts_of("headframe-abc-", mountinfo) == ["/c/root", "/a b/root"]


def test_kernel_settings_are_raised_never_lowered_and_put_back(tmp_path: Path) -> None:
    record = tmp_path / "run" / "settings.json"
    (tmp_path / "low").write_text("128\n")
    (tmp_path / "high").write_text("9000\n")
    needed = {"low": 4096, "high": 4096}
    raise_settings(needed, tmp_path, record)
    raise_settings(needed, tmp_path, record)  # a second fleet must not record the raised value as the original
    assert ((tmp_path / "low").read_text(), (tmp_path / "high").read_text()) == ("4096\n", "9000\n")
    restore_settings(tmp_path, record)
    assert ((tmp_path / "low").read_text(), (tmp_path / "high").read_text()) == ("128\n", "9000\n")
    assert not record.exists()
    restore_settings(tmp_path, record)


def test_a_machine_that_cannot_boot_hosts_is_told_all_that_it_lacks() -> None:
    assert missing(platform="darwin") == ["lab hosts need Linux; this is darwin"]
    assert "run as root" in missing(platform="linux", is_root=False)[0]
    lacks = missing("linux", is_root=True, find=lambda tool: None, works=lambda *command: False, layout=lambda: None)
    text = "\n".join(lacks)
    for wanted in ("systemd-nspawn was not found", "privileged", "mount -t cgroup2"):
        assert wanted in text


def test_a_host_whose_name_begins_like_anothers_keeps_its_disk() -> None:
    names = ("gpu-1", "gpu-10", "gpu-1")
    lines = [f"{n} 1 0:{n} / /d{n} rw - overlay headframe-abc-{name} rw" for n, name in enumerate(names)]
    assert mounts_named("headframe-abc-gpu-1", "\n".join(lines)) == ["/d2", "/d0"]
