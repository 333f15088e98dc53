"""Lab hosts are machines: they boot, reboot, lose power, come back with their disks, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.hosts import remnants
from lab.hosts.cgroups import read_layout
from lab.hosts.fleet import LabFleet
from lab.hosts.models import HostState, LabHost
from lab.hosts.remnants import NetworkInUseError
from tests.support.lab_fleet import describe_fleet, skip_without_hosts, traces

pytestmark = pytest.mark.host


def eventually(holds: Callable[[], bool], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.1)
    return holds()


def boot_id(fleet: LabFleet, host: str) -> str:
    return fleet.ssh(host, "journalctl --list-boots | tail -n 1 | awk '{ print $2 }'").strip()


def states(fleet: LabFleet) -> dict[str, HostState]:
    return {row.host.name: row.state for row in fleet.status()}


@pytest.fixture
def described(tmp_path: Path) -> Iterator[LabFleet]:
    skip_without_hosts()
    fleet = describe_fleet(tmp_path, ("one",))
    yield fleet
    fleet.wipe()


def test_hosts_run_a_real_systemd_and_let_in_who_holds_the_key(lab_fleet: LabFleet) -> None:
    failed = "systemctl --failed --no-legend --plain | awk '{print $1}' | xargs -r -n 1 journalctl -n 20 --no-pager -u"
    state = lab_fleet.ssh("host-1", f"systemctl is-system-running --wait || {failed}")
    assert state.strip() == "running"
    assert lab_fleet.ssh("host-2", "hostname").strip() == "host-2"
    assert lab_fleet.private_key.stat().st_mode & 0o077 == 0
    assert all(row.answers_ssh for row in lab_fleet.status())


def test_hosts_reach_each_other_and_the_package_archives(lab_fleet: LabFleet) -> None:
    other = lab_fleet.hosts[1].address
    assert " 0% packet loss" in lab_fleet.ssh("host-1", f"ping -c 1 -W 5 {other}")
    lab_fleet.ssh("host-1", "apt-get -qq update && apt-get -qq install -y tree", timeout_seconds=240)
    assert lab_fleet.ssh("host-1", "tree --version").startswith("tree")


def test_booting_again_touches_nothing_that_runs(lab_fleet: LabFleet) -> None:
    before = {host.name: boot_id(lab_fleet, host.name) for host in lab_fleet.hosts}
    lab_fleet.boot()
    assert {host.name: boot_id(lab_fleet, host.name) for host in lab_fleet.hosts} == before


def test_a_host_reboots_from_inside(lab_fleet: LabFleet) -> None:
    before = boot_id(lab_fleet, "host-2")
    lab_fleet.ssh("host-2", "systemctl reboot")

    def is_back() -> bool:
        lab_fleet.wait_for_ssh("host-2")
        try:
            return boot_id(lab_fleet, "host-2") != before
        except RuntimeError:
            return False  # still going down

    assert eventually(is_back, 60)


def test_a_host_is_added_to_a_fleet_that_runs(described: LabFleet) -> None:
    described.boot()
    before = boot_id(described, "one")
    address = str(described.network.network_address + 50)
    larger = described.with_host(LabHost("two", address))
    larger.boot()
    assert larger.ssh("two", "hostname").strip() == "two"
    assert boot_id(larger, "one") == before
    assert {host.name for host in LabFleet.load(larger.name, larger.state_folder).hosts} == {"one", "two"}


def test_a_host_without_power_keeps_its_disk_and_machine_id(described: LabFleet) -> None:
    described.boot()
    machine_id = described.ssh("one", "echo kept > /srv/file && sync && cat /etc/machine-id")
    described.kill("one")
    assert states(described) == {"one": HostState.STOPPED}
    described.boot()
    assert described.ssh("one", "cat /srv/file /etc/machine-id") == "kept\n" + machine_id


def test_a_stopped_fleet_leaves_only_its_disks_and_a_wiped_one_nothing(described: LabFleet) -> None:
    described.boot()
    assert traces(described)
    described.stop()
    assert traces(described) == []
    assert states(described) == {"one": HostState.STOPPED}
    described.boot()
    described.wipe()
    assert traces(described) == []
    assert not described.folder.exists()


def test_the_next_boot_clears_what_a_killed_host_left(described: LabFleet) -> None:
    described.boot()
    supervisor = described._machine("one").supervisor()
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    assert eventually(lambda: states(described)["one"] is HostState.REMNANTS)
    described.boot()
    assert states(described) == {"one": HostState.RUNNING}


def test_a_boot_killed_half_way_is_finished_by_the_next(described: LabFleet) -> None:
    program = (
        "import sys; from ipaddress import IPv4Network; from pathlib import Path\n"
        "from lab.hosts.fleet import LabFleet; from lab.hosts.models import LabHost\n"
        "name, folder, network, address = sys.argv[1:]\n"
        "LabFleet(name, Path(folder), (LabHost('one', address),), IPv4Network(network)).boot()"
    )
    arguments = [described.name, str(described.state_folder), str(described.network), described.hosts[0].address]
    with subprocess.Popen([sys.executable, "-c", program, *arguments]) as booting:
        assert eventually(lambda: bool(traces(described)))
        booting.kill()
    described.boot()
    assert described.ssh("one", "hostname").strip() == "one"


def test_a_dead_fleet_of_another_clone_is_cleared_and_a_live_one_is_not(described: LabFleet, tmp_path: Path) -> None:
    other = LabFleet(described.name, tmp_path / "other-clone", described.hosts, described.network)
    try:
        other.boot()
        with pytest.raises(NetworkInUseError, match="make down"):
            described.boot()
        layout = read_layout()
        assert layout is not None
        for cgroup in remnants.host_cgroups(layout, other.names):
            cgroup.kill()
        described.boot()
        assert traces(other) == []
        assert described.ssh("one", "hostname").strip() == "one"
    finally:
        other.wipe()
