"""Three booted machines, changed at the same time under the lease: never two at once, and a stop that can be resumed.

k3s is simulated here: a script that keeps what it was told in files, so that it can have versions and be slow.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from infra.spec import BinarySource, ExitCode, HostSpec, K3sSpec, LeaseSpec, Verb
from tests.support.lab_fleet import booted_fleet
from tests.support.lab_machine import Machine

pytestmark = pytest.mark.host

_SIMULATED_K3S = """\
#!/bin/sh
log() { echo "$(date +%s.%N) $1" >> /var/lib/simulated-k3s.log; }
case "$*" in
  --version) echo "k3s version VERSION (simulated)";;
  server)
    echo '{clusters: [{cluster: {simulated: true}}], users: [{user: {}}]}' > /etc/rancher/k3s/k3s.yaml
    systemd-notify --ready; exec sleep inf;;
  *"get --raw /readyz"*) systemctl is-active -q k3s;;
  *"get node"*) echo True "$(date -u +%FT%TZ)";;
  *uncordon*) log open;;
  *cordon*) log closed;;
  *"get pods"*) cat /var/lib/simulated-chutes 2>/dev/null; true;;
  *"delete pods"*) [ ! -e /var/lib/simulated-stuck ] || sleep 600; rm -f /var/lib/simulated-chutes; log drained;;
esac
"""


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, ...]]:
    """Three machines with the simulated k3s of version 1; the first one keeps the lease."""
    with booted_fleet(tmp_path_factory.mktemp("lease"), ("control", "gpu-1", "gpu-2")) as fleet:
        machines = Machine.all_of(fleet)
        for machine in machines:
            for version in ("v1.0.1", "v1.0.2", "v1.0.3"):
                script = _SIMULATED_K3S.replace("VERSION", version)
                machine.ssh(f"cat > /opt/{version} <<'END'\n{script}\nEND\nchmod 755 /opt/{version}")
            machine.apply(spec(machine, machines[0], "v1.0.1"))
        yield machines


def spec(machine: Machine, keeper: Machine, version: str) -> HostSpec:
    k3s = K3sSpec(version=version, source=BinarySource(url=f"file:///opt/{version}"), ready_timeout_seconds=30)
    lease = LeaseSpec(host=keeper.address, host_key=keeper.spec().host_key, wait_seconds=120, drain_seconds=1)
    return machine.spec(k3s=k3s, lease=lease)


def start(machine: Machine, verb: Verb, wanted: HostSpec, folder: Path) -> subprocess.Popen[bytes]:
    """Start a run in the background; its events land in a file."""
    source = folder / f"{machine.name}.json"
    source.write_text(f"{wanted.to_json()}\n")
    with source.open() as spec_file, (folder / f"{machine.name}.events").open("w") as events:
        return subprocess.Popen([sys.executable, "-m", "infra.hosts", verb], stdin=spec_file, stdout=events)


def closed_times(machines: tuple[Machine, ...], since: float) -> list[tuple[float, float]]:
    """When each node was closed and opened again, in order."""
    found = []
    for machine in machines:
        lines = [line.split() for line in machine.ssh("cat /var/lib/simulated-k3s.log 2>/dev/null; true").splitlines()]
        times = {what: float(when) for when, what in lines if float(when) > since}
        found.append((times["closed"], times["open"]))
    return sorted(found)


def test_a_new_version_never_disrupts_two_nodes_at_once(machines: tuple[Machine, ...], tmp_path: Path) -> None:
    began = time.time()
    runs = [start(machine, Verb.APPLY, spec(machine, machines[0], "v1.0.2"), tmp_path) for machine in machines]
    assert [run.wait(150) for run in runs] == [0, 0, 0]
    for machine in machines:
        assert "v1.0.2" in machine.ssh("k3s --version")
        assert machine.plan(spec(machine, machines[0], "v1.0.2")) == ()
    times = closed_times(machines, began)
    assert all(opened <= closed for (_, opened), (closed, _) in pairwise(times))


def test_a_machine_killed_in_its_drain_stops_the_roll_out_and_resuming_finishes_it(
    machines: tuple[Machine, ...], tmp_path: Path
) -> None:
    keeper, one, two = machines
    one.ssh("echo pod/stuck > /var/lib/simulated-chutes; touch /var/lib/simulated-stuck")
    run = start(one, Verb.APPLY, spec(one, keeper, "v1.0.3"), tmp_path)
    deadline = time.monotonic() + 60
    while "closed" not in one.ssh("tail -n 1 /var/lib/simulated-k3s.log") and time.monotonic() < deadline:
        time.sleep(0.3)
    run.kill()
    run.wait(10)
    keeper.ssh("sed -i -E 's/^(held [^ ]+ [^ ]+) [0-9]+/\\1 1/' /var/lib/headframe/lease")  # its time is up
    refusal = two.refusal(spec(two, keeper, "v1.0.3"))
    assert "gpu-1 vanished" in refusal.message
    assert "v1.0.3" not in two.ssh("cat /var/lib/simulated-k3s.log; systemctl show -p ActiveState k3s")
    one.ssh("rm -f /var/lib/simulated-chutes /var/lib/simulated-stuck; pkill sleep -f 'sleep 600' || true")
    one.apply(spec(one, keeper, "v1.0.3"))
    two.apply(spec(two, keeper, "v1.0.3"))
    assert two.plan(spec(two, keeper, "v1.0.3")) == ()


def test_an_operator_can_free_a_frozen_lease(machines: tuple[Machine, ...]) -> None:
    keeper, one, _ = machines
    keeper.ssh("echo 'frozen gpu-9 x 1 failed: disk full' > /var/lib/headframe/lease")
    status, events = one.run(Verb.RESTART, spec(one, keeper, "v1.0.3"))
    assert status == ExitCode.OPERATION_FAILED
    assert "gpu-9 failed: disk full" in str(events[-1])
    assert keeper.run(Verb.RECOVER, spec(keeper, keeper, "v1.0.3"))[0] == 0
    assert one.run(Verb.RESTART, spec(one, keeper, "v1.0.3"))[0] == 0


def test_a_reboot_comes_back_as_another_boot(machines: tuple[Machine, ...]) -> None:
    keeper, one, _ = machines
    before = one.ssh("cut -d' ' -f22 /proc/1/stat")
    status, events = one.run(Verb.REBOOT, spec(one, keeper, "v1.0.3"))
    assert status == 0, events[-1]
    assert one.ssh("cut -d' ' -f22 /proc/1/stat") != before
    assert one.plan(spec(one, keeper, "v1.0.3")) == ()
